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
        path: "/assets/index-B61QfBzR.css",
        content_type: "text/css; charset=utf-8",
        etag: "\"746831470d76cb47\"",
        immutable: true,
        gzip: include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../ui/dist/assets/index-B61QfBzR.css.gz")),
        brotli: include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../ui/dist/assets/index-B61QfBzR.css.br")),
    },
    File {
        path: "/assets/index-BkLI-Pcz.js",
        content_type: "text/javascript; charset=utf-8",
        etag: "\"95b420a80d895b70\"",
        immutable: true,
        gzip: include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../ui/dist/assets/index-BkLI-Pcz.js.gz")),
        brotli: include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../ui/dist/assets/index-BkLI-Pcz.js.br")),
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
        etag: "\"e86d198a57553a6f\"",
        immutable: false,
        gzip: include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../ui/dist/index.html.gz")),
        brotli: include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../ui/dist/index.html.br")),
    },
];
