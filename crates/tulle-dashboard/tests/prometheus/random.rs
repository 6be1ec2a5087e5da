//! Queries made at random from what the language has. Comparisons are with odd constants, and nothing depends on the order of equal
//! values, so that the last digit of a number does not decide.

/// `count` queries; the same for the same seed.
pub(crate) fn queries(seed: u64, count: usize) -> Vec<String> {
    let mut rng = fastrand::Rng::with_seed(seed);
    (0..count).map(|_| vector(&mut rng, 3)).collect()
}

fn pick<'a>(rng: &mut fastrand::Rng, of: &[&'a str]) -> &'a str {
    of[rng.usize(..of.len())]
}

fn modifiers(rng: &mut fastrand::Rng) -> &'static str {
    pick(
        rng,
        &[
            "",
            "",
            "",
            "",
            "",
            " offset 1m",
            " offset 13s",
            " offset -20s",
            " @ 1700000333.5",
            " @ end()",
            " @ start() offset 5s",
        ],
    )
}

fn matchers(rng: &mut fastrand::Rng, counter: bool) -> &'static str {
    if counter {
        pick(
            rng,
            &[
                "",
                r#"{reporter="destination"}"#,
                r#"{reporter=~"source|waypoint",response_code!~"5.*"}"#,
                r#"{source_workload!="api"}"#,
                r#"{missing="",destination_workload=~"c.*"}"#,
                r#"{response_code=~"^[45]\\d\\d$"}"#,
            ],
        )
    } else {
        pick(rng, &["", r#"{zone="east"}"#, r#"{id=~"a|d|e"}"#, r#"{zone!~"east|north"}"#, r#"{id!="a"}"#])
    }
}

fn duration(rng: &mut fastrand::Rng) -> &'static str {
    pick(rng, &["10s", "12s", "30s", "1m", "90s", "3m", "5m", "1h"])
}

fn selector(rng: &mut fastrand::Rng) -> String {
    let counter = rng.bool();
    let name = if counter { "istio_requests_total" } else { pick(rng, &["gauge", "counter"]) };
    format!("{name}{}", matchers(rng, counter))
}

fn labels(rng: &mut fastrand::Rng) -> String {
    let all =
        ["zone", "id", "source_workload", "destination_workload", "reporter", "response_code", "missing"];
    let mut some: Vec<&str> = all.into_iter().filter(|_| rng.u8(..3) == 0).collect();
    rng.shuffle(&mut some);
    some.join(",")
}

fn vector(rng: &mut fastrand::Rng, depth: u32) -> String {
    if depth == 0 {
        return leaf(rng);
    }
    let inner = |rng: &mut fastrand::Rng| vector(rng, depth - 1);
    match rng.u8(..12) {
        0..=3 => leaf(rng),
        4 | 5 => {
            let op = pick(rng, &["sum", "avg", "min", "max", "count", "group", "stddev", "stdvar"]);
            let how = pick(rng, &["by", "without"]);
            format!("{op} {how} ({}) ({})", labels(rng), inner(rng))
        }
        6 => format!(
            "quantile by ({}) ({}, {})",
            labels(rng),
            pick(rng, &["0.1", "0.5", "0.99", "-1"]),
            inner(rng)
        ),
        7 => {
            let op = pick(rng, &["+", "-", "*", "/", "> bool", "<", "!=", ">="]);
            let number = pick(rng, &["3.7131", "-1.0531", "0.00317", "101.77"]);
            if rng.bool() {
                format!("({}) {op} {number}", inner(rng))
            } else {
                format!("{number} {op} ({})", inner(rng))
            }
        }
        8 => {
            let op = pick(rng, &["+", "-", "*", "/", "and", "or", "unless"]);
            let on = pick(rng, &["on", "ignoring"]);
            format!("({}) {op} {on}({}) ({})", inner(rng), labels(rng), inner(rng))
        }
        9 => {
            let op = pick(rng, &["+", "*", "-"]);
            let by = labels(rng);
            format!("({}) {op} on({by}) group_left sum by ({by}) ({})", inner(rng), inner(rng))
        }
        10 => {
            let function = pick(rng, &["abs", "ceil", "floor", "sgn", "-", "scalar", "absent", "timestamp"]);
            match function {
                "-" => format!("-({})", inner(rng)),
                "scalar" => format!("vector(scalar({}))", inner(rng)),
                function => format!("{function}(({}) * 1.0071)", inner(rng)),
            }
        }
        _ => {
            let function = pick(rng, &["max_over_time", "min_over_time", "avg_over_time", "count_over_time"]);
            let step = pick(rng, &["", "7s", "30s", "1m"]);
            format!("{function}(({})[{}:{step}]{})", inner(rng), duration(rng), modifiers(rng))
        }
    }
}

fn leaf(rng: &mut fastrand::Rng) -> String {
    match rng.u8(..5) {
        0 => format!("{}{}", selector(rng), modifiers(rng)),
        1 | 2 => {
            let function =
                pick(rng, &["rate", "increase", "irate", "delta", "idelta", "changes", "resets", "deriv"]);
            format!("{function}({}[{}]{})", selector(rng), duration(rng), modifiers(rng))
        }
        3 => {
            let function = pick(
                rng,
                &[
                    "sum_over_time",
                    "avg_over_time",
                    "max_over_time",
                    "last_over_time",
                    "stddev_over_time",
                    "present_over_time",
                ],
            );
            format!("{function}({}[{}]{})", selector(rng), duration(rng), modifiers(rng))
        }
        _ => {
            let q = pick(rng, &["0.5", "0.9", "0.99", "0.05"]);
            let by = labels(rng);
            let comma = if by.is_empty() { "" } else { "," };
            let (matchers, range) = (matchers(rng, true), duration(rng));
            format!(
                "histogram_quantile({q}, sum by (le{comma}{by}) (rate(istio_request_duration_milliseconds_bucket{matchers}[{range}])))"
            )
        }
    }
}
