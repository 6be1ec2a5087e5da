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
        path: "/assets/index-B0cZ_AJx.js",
        content_type: "text/javascript; charset=utf-8",
        etag: "\"9f43dd994058415c\"",
        immutable: true,
        gzip: include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../ui/dist/assets/index-B0cZ_AJx.js.gz")),
        brotli: include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../ui/dist/assets/index-B0cZ_AJx.js.br")),
    },
    File {
        path: "/assets/index-BAUsrZNp.css",
        content_type: "text/css; charset=utf-8",
        etag: "\"3c84d525d630efe6\"",
        immutable: true,
        gzip: include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../ui/dist/assets/index-BAUsrZNp.css.gz")),
        brotli: include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../ui/dist/assets/index-BAUsrZNp.css.br")),
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
        etag: "\"fbd7c654f383aef8\"",
        immutable: false,
        gzip: include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../ui/dist/index.html.gz")),
        brotli: include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../ui/dist/index.html.br")),
    },
];
