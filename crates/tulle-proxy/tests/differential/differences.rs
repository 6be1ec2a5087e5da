//! Where ours differs from Envoy, and why. `docs/envoy-differences.md` tells users the same.

/// A difference and the cases that show it.
pub struct Difference {
    /// Its name, also on the page.
    pub id: &'static str,
    /// Why it is there.
    pub reason: &'static str,
    /// Cases by area; a name that ends in `*` stands for all that begin so. Each of them must differ.
    pub cases: &'static [(&'static str, &'static [&'static str])],
}

/// All of them.
pub const DIFFERENCES: &[Difference] = &[
    Difference {
        id: "mapped-addresses",
        reason: "a rule about IPv4 addresses holds however a client's is spelt",
        cases: &[(
            "ipv6",
            &[
                "inside forwarded 3 ::ffff:10.0.0.1",
                "remote4 forwarded ::ffff:10.0.0.1",
                "mappedrule forwarded 10.0.0.1",
            ],
        )],
    },
    Difference {
        id: "absolute-off",
        reason: "RFC 9112 section 3.2.2: a server must take them; the host in them is the one that routes are found by",
        cases: &[("http1", &["absolute off"])],
    },
    Difference {
        id: "bodies-of-refusals",
        reason: "the request is refused where it is read",
        cases: &[
            ("paths", &["/preamble?x#"]),
            ("matchers", &["/q/exact?a=1#f"]),
            ("hosts", &["no host"]),
            ("normalize", &["fragment", "fragment normalized", "fragment over h2"]),
        ],
    },
    Difference {
        id: "connect-routes",
        reason: "a route that says what happens is obeyed",
        cases: &[("paths", &["connect", "h2 connect"])],
    },
    Difference {
        id: "connection-te",
        reason: "RFC 9110 section 10.1.4: who sends te says so in connection",
        cases: &[
            ("identity", &["plain hop by hop", "edge hop by hop"]),
            (
                "timeouts",
                &[
                    "/route slow for grpc",
                    "/try slow for grpc",
                    "/longtry slow for grpc",
                    "/idle slow for grpc",
                    "/max slow for grpc",
                    "max_grpc_timeout without grpc-timeout",
                    "/grpcmax within 100m",
                    "/grpcmax within 9S",
                    "/grpcany within 200m",
                    "/grpcany within 200000u",
                    "/grpcoff within 300m",
                    "/grpcold within 1H",
                    "/ within 100m",
                    "/grpcany within nonsense",
                    "/grpcany within 100000000m",
                ],
            ),
            (
                "faults",
                &[
                    "/never with grpc",
                    "/delay with grpc",
                    "/headers with grpc",
                    "/otherupstream with grpc",
                    "/nodes with grpc",
                    "/habort with grpc",
                    "/hdelay with grpc",
                    "/max0 with grpc",
                    "/nothing with grpc",
                    "/none with grpc",
                ],
            ),
            ("limits", &["/noconnections for grpc", "/high for grpc"]),
            ("grpc", &["hangs up"]),
            ("http1", &["te trailers"]),
            ("http2", &["te /h1"]),
            ("rate limits", &["internal limits grpc"]),
        ],
    },
    Difference {
        id: "empty-host",
        reason: "an http request has a host (RFC 9110 section 4.2.1)",
        cases: &[("hosts", &["empty host"])],
    },
    Difference {
        id: "forward-local",
        reason: "nobody shall reach by a name of his own what trusts its neighbours, unless the configuration says so",
        cases: &[(
            "forward proxy",
            &["usual name of loopback", "usual address of loopback", "usual address of the link"],
        )],
    },
    Difference {
        id: "flags-order",
        reason: "response flags have one order here, whatever came first",
        cases: &[
            ("forward proxy", &["nobody there", "the usual port"]),
            ("timeouts", &["tried again for nothing"]),
            (
                "retries",
                &[
                    "5xx of nobody there",
                    "gateway-error of nobody there",
                    "reset of nobody there",
                    "reset-before-request of nobody there",
                    "connect-failure of nobody there",
                ],
            ),
            (
                "limits",
                &[
                    "/rdown",
                    "/rdown for grpc",
                    "h2 upstream resets, twice",
                    "h2 upstream refuses, twice",
                    "hangs up twice",
                ],
            ),
        ],
    },
    Difference {
        id: "buffer-limit",
        reason: "the limit is the limit",
        cases: &[(
            "small filters",
            &["buffer / 11 h2", "buffer / 100 h2", "buffer / 101 h2", "buffer /more 101 h2"],
        )],
    },
    Difference {
        id: "authorization",
        reason: "a length that is known is said; what cannot be sent is a failure; queries are encoded; times are the upstream's",
        cases: &[(
            "ext authz",
            &[
                "body 0 chunked",
                "body 10 chunked",
                "whole 0 chunked",
                "whole 10 chunked",
                "bytes 0 chunked",
                "bytes 10 chunked",
                "bytes 11 chunked",
                "grpc refuses strange fields",
                "grpc changes the query",
                "http refused",
                "http redirects",
                "http created",
                "httpbody refused",
                "httpbody redirects",
                "httpbody created",
                "httplisted refused",
                "httplisted redirects",
                "httplisted created",
            ],
        )],
    },
    Difference {
        id: "compression",
        reason: "the length is known; `*` says all already (RFC 9110 section 12.5.5); of two encodings the last one comes off first",
        cases: &[(
            "compression",
            &[
                "plain direct",
                "etag direct",
                "removing direct",
                "codes direct",
                "requests direct",
                "both direct",
                "plain vary star",
                "types vary star",
                "etag vary star",
                "removing vary star",
                "codes vary star",
                "requests vary star",
                "both vary star",
                "unpacking packed twice",
                "quiet packed twice",
                "both packed twice",
            ],
        )],
    },
    Difference {
        id: "content-types",
        reason: "a message has one content type: the first one counts",
        cases: &[("grpc", &["web"])],
    },
    Difference {
        id: "head-of-nothing",
        reason: "there is nothing to be chunked (RFC 9112 section 6.1)",
        cases: &[("local replies", &["gone head"]), ("grpc web", &["head"])],
    },
    Difference {
        id: "grpc-web",
        reason: "base64 that is none is noticed before anything is sent on; what has become a message is whole",
        cases: &[("grpc web", &["not base64", "base64 cut off", "error with trailers, plain"])],
    },
    Difference {
        id: "host-checked",
        reason: "RFC 9112 section 3.2: upstreams must refuse it",
        cases: &[
            ("rewrites", &["/hostpath/a", "append the same of two"]),
            (
                "generated changes",
                &[
                    "table0.0 *",
                    "table0.1 *",
                    "table0.2 *",
                    "table0.3 *",
                    "table0.4 *",
                    "table0.5 *",
                    "table0.6 *",
                    "table0.7 *",
                    "table2.1 *",
                    "table2.5 *",
                    "table2.6 *",
                    "table7.0 *",
                    "table16.2 *",
                    "table16.7 *",
                ],
            ),
        ],
    },
    Difference {
        id: "http10",
        reason: "RFC 9110 section 6.2: a server answers with its own version",
        cases: &[(
            "http1",
            &[
                "old http/1.0",
                "old http/1.0 with host",
                "old http/1.0 keep-alive",
                "old http/0.9",
                "old http/1.2",
                "old http/2.0",
                "old te in http/1.0",
            ],
        )],
    },
    Difference {
        id: "http2-refusals",
        reason: "RFC 9113 section 8.1.1: a malformed request is a stream error",
        cases: &[
            ("identity", &["reject h2"]),
            (
                "http2",
                &[
                    "post with a wrong length /h1",
                    "no authority /h1",
                    "many fields /h1",
                    "h1 to h2 only /h1",
                    "post with a wrong length /h2",
                    "no authority /h2",
                    "many fields /h2",
                    "h1 to h2 only /h2",
                    "no authority /d",
                    "many fields /d",
                    "h1 to h2 only /d",
                ],
            ),
        ],
    },
    Difference {
        id: "informational",
        reason: "RFC 9110 section 15.2: a proxy must forward them",
        cases: &[
            ("http1", &["early hints", "processing", "100 of the upstream"]),
            ("http2", &["expect /d", "early hints /h1", "early hints /h2"]),
        ],
    },
    Difference {
        id: "joined-lines",
        reason: "the same meaning (RFC 9110 section 5.3), and what is no list stays whole",
        cases: &[
            ("cors", &["two origins"]),
            ("jwt", &["two headers"]),
            (
                "generated changes",
                &[
                    "table2.4 *",
                    "table7.2 *",
                    "table8.1 *",
                    "table13.5 *",
                    "table16.0 *",
                    "table16.1 *",
                    "table16.3 *",
                    "table16.4 *",
                    "table16.5 *",
                    "table16.6 *",
                    "table21.1 *",
                    "table23.1 *",
                    "table23.2 *",
                    "table25.0 *",
                    "table25.1 *",
                    "table25.2 *",
                    "table25.3 *",
                    "table25.4 *",
                    "table25.5 *",
                    "table25.6 *",
                    "table25.7 *",
                    "table29.3 *",
                    "table29.4 *",
                ],
            ),
        ],
    },
    Difference {
        id: "merge-slashes",
        reason: "neighbouring slashes are merged",
        cases: &[
            ("normalize", &["merge //", "both //", "redirect //", "forward //"]),
            ("generated changes", &["table7.6 *", "table22.3 *", "table23.5 *", "table24.1 *"]),
        ],
    },
    Difference {
        id: "mirrors",
        reason: "an upstream of copies sees what the other one sees",
        cases: &[(
            "balance",
            &[
                "mirror",
                "mirrors",
                "mirror that fails",
                "mirror of a rewritten request",
                "mirror without suffix",
            ],
        )],
    },
    Difference {
        id: "nominated-answers",
        reason: "RFC 9110 section 7.6.1",
        cases: &[("http1", &["answer nominates a field"])],
    },
    Difference {
        id: "otel-b3",
        reason: "applications that pass B3 on are in the trace, whoever collects it",
        cases: &[(
            "tracing",
            &[
                "otel in b3 *",
                "otel out b3 *",
                "otel tries b3 *",
                "otel in both",
                "otel out both",
                "otel tries both",
            ],
        )],
    },
    Difference {
        id: "redirect-answers",
        reason: "RFC 9110 sections 8.6 and 15.4.5; the code is known",
        cases: &[("redirects", &["/added", "/d204b", "/d304", "h2 204"])],
    },
    Difference {
        id: "redirect-path",
        reason: "nothing is rewritten: the client is sent elsewhere",
        cases: &[("generated changes", &["table27.4 *"])],
    },
    Difference {
        id: "reply-flags",
        reason: "the flag is known",
        cases: &[("local replies", &["format malformed"])],
    },
    Difference {
        id: "response-code",
        reason: "the code is known",
        cases: &[
            ("header_ops", &["values on a direct response", "values on a failure"]),
            ("generated changes", &["table8.2 *", "table8.3 *", "table8.5 *", "table8.6 *", "table28.2 *"]),
        ],
    },
    Difference {
        id: "refused-streams",
        reason: "RFC 9113 section 8.7: nothing of a refused stream was processed, so that it was reset before the request",
        cases: &[("retries", &["reset-before-request of refused"])],
    },
    Difference {
        id: "strict-answers",
        reason: "RFC 9110 section 15, RFC 9112 sections 2.2, 5.1, 5.2 and 6.3: see docs/conformance.md",
        cases: &[(
            "limits",
            &[
                "upstream speaks of status 99",
                "upstream speaks of status 99, over h2",
                "upstream speaks of status 999",
                "upstream speaks of status 999, over h2",
                "upstream speaks of status 600",
                "upstream speaks of status 600, over h2",
                "upstream sends one length twice",
                "upstream sends one length twice, over h2",
                "upstream sends a folded field",
                "upstream sends a folded field, over h2",
                "upstream sends a space before the colon",
                "upstream sends a space before the colon, over h2",
                "upstream ends lines with LF",
                "upstream ends lines with LF, over h2",
                "upstream switches unasked",
                "upstream switches unasked, over h2",
                "upstream has a large head",
                "upstream has a large head, over h2",
                "upstream closes inside the head",
                "upstream closes inside the head, over h2",
            ],
        )],
    },
    Difference {
        id: "strict-http1",
        reason: "request smuggling begins here: RFC 9112 sections 2.2, 3 and 3.2, docs/conformance.md",
        cases: &[(
            "http1",
            &[
                "http/1.0",
                "http/1.0 with host",
                "http/1.0 keep-alive",
                "http/0.9",
                "http/1.2",
                "http/2.0",
                "no version",
                "two spaces",
                "tab",
                "bare lf",
                "cr in a value",
                "nul in a value",
                "control in a value",
                "folded",
                "two hosts",
                "host twice the same",
                "host with user",
                "host with a bad port",
                "host with a large port",
                "host with a space",
                "host with a slash",
                "one length twice",
                "length with zeros",
                "te in http/1.0",
                "negative chunk",
                "chunk without its end",
                "fragment",
                "ftp url",
                "url with user",
                "authority form for get",
                "nominated host",
                "nominated length",
                "pseudo header",
                "large path",
            ],
        )],
    },
    Difference {
        id: "tcp-denied",
        reason: "nothing is connected for a client that may not",
        cases: &[("tcp", &["denied sends", "denied sends nothing", "from elsewhere, not allowed"])],
    },
    Difference {
        id: "tunnel-half-close",
        reason: "a client that has said all may still be answered",
        cases: &[("carried", &["bytes in CONNECT", "CONNECT answered with 204"])],
    },
    Difference {
        id: "timeout-texts",
        reason: "the words of the status",
        cases: &[("timeouts", &["head stops", "head in time, answer late"])],
    },
    Difference {
        id: "trailers-kept",
        reason: "gRPC over HTTP/1 needs them, and nothing is lost",
        cases: &[
            ("retries", &["a chunked body with trailers is sent again"]),
            ("grpc", &["over h1", "h1 client", "h1 both"]),
            ("http1", &["trailers dropped", "trailers sent and dropped"]),
            ("small filters", &["buffer /off trailers"]),
            (
                "http2",
                &[
                    "trailers /h1",
                    "trailers with an h1 option /h1",
                    "answer with trailers /h1",
                    "answer with trailers alone /h1",
                    "answer with trailers to h1 /h1",
                    "answer with trailers to h1 that takes them /h1",
                    "answer with trailers to h1 /h2",
                ],
            ),
        ],
    },
    Difference {
        id: "unread-bodies",
        reason: "what is left of a request would be read as the next one",
        cases: &[("ext authz", &["grpc /direct"])],
    },
    Difference {
        id: "upgrades",
        reason: "RFC 9110 section 7.8: the field is the next hop's",
        cases: &[
            (
                "http1",
                &[
                    "proxy connection",
                    "websocket",
                    "websocket refused by the upstream",
                    "websocket answered with 200",
                    "connect passed on",
                    "connect refused by the upstream",
                    "connect terminated",
                ],
            ),
            (
                "http2",
                &[
                    "websocket /h1",
                    "websocket not allowed /h1",
                    "websocket /h2",
                    "websocket without an answer /h2",
                    "websocket not allowed /h2",
                    "websocket /d",
                    "websocket not allowed /d",
                ],
            ),
        ],
    },
];

/// Whether `pattern` stands for the case `name`.
pub fn fits(pattern: &str, name: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == name, |start| name.starts_with(start))
}

/// The difference that a case is listed under.
pub fn of(area: &str, case: &str) -> Option<&'static str> {
    let listed = |d: &&Difference| {
        d.cases.iter().any(|(a, names)| *a == area && names.iter().any(|pattern| fits(pattern, case)))
    };
    DIFFERENCES.iter().find(listed).map(|d| d.id)
}
