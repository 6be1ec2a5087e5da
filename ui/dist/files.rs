// Made by ui/scripts/pack.mjs; not edited by hand.
const FILES: &[File] = &[
    File {
        path: "/assets/editor-core-DS0--m7y.js",
        content_type: "text/javascript; charset=utf-8",
        etag: "\"9e086fb96104125c\"",
        immutable: true,
        gzip: include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../ui/dist/assets/editor-core-DS0--m7y.js.gz")),
        brotli: include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../ui/dist/assets/editor-core-DS0--m7y.js.br")),
    },
    File {
        path: "/assets/index-D8SuTBRC.js",
        content_type: "text/javascript; charset=utf-8",
        etag: "\"a4dfe876b45478b3\"",
        immutable: true,
        gzip: include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../ui/dist/assets/index-D8SuTBRC.js.gz")),
        brotli: include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../ui/dist/assets/index-D8SuTBRC.js.br")),
    },
    File {
        path: "/assets/index-Docyw3fE.css",
        content_type: "text/css; charset=utf-8",
        etag: "\"05b49e43926b7006\"",
        immutable: true,
        gzip: include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../ui/dist/assets/index-Docyw3fE.css.gz")),
        brotli: include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../ui/dist/assets/index-Docyw3fE.css.br")),
    },
    File {
        path: "/favicon.svg",
        content_type: "image/svg+xml",
        etag: "\"cbb68c98a6d8606a\"",
        immutable: false,
        gzip: include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../ui/dist/favicon.svg.gz")),
        brotli: include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../ui/dist/favicon.svg.br")),
    },
    File {
        path: "/index.html",
        content_type: "text/html; charset=utf-8",
        etag: "\"a56d512e93b97cc8\"",
        immutable: false,
        gzip: include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../ui/dist/index.html.gz")),
        brotli: include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../ui/dist/index.html.br")),
    },
];
