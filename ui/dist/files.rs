// Made by ui/scripts/pack.mjs; not edited by hand.
const FILES: &[File] = &[
    File {
        path: "/assets/editor-core-CyP8MTSS.js",
        content_type: "text/javascript; charset=utf-8",
        etag: "\"2c6fc600bddb654a\"",
        immutable: true,
        gzip: include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../ui/dist/assets/editor-core-CyP8MTSS.js.gz")),
        brotli: include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../ui/dist/assets/editor-core-CyP8MTSS.js.br")),
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
        path: "/assets/index-_Uc_bjls.js",
        content_type: "text/javascript; charset=utf-8",
        etag: "\"a616b7c84c8a2d35\"",
        immutable: true,
        gzip: include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../ui/dist/assets/index-_Uc_bjls.js.gz")),
        brotli: include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../ui/dist/assets/index-_Uc_bjls.js.br")),
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
        etag: "\"87c45a4ffadb1705\"",
        immutable: false,
        gzip: include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../ui/dist/index.html.gz")),
        brotli: include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../ui/dist/index.html.br")),
    },
];
