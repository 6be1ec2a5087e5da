//! The status of the CA for people.

use serde_json::Value;

/// Who holds a rotation up, and why.
pub(super) fn blockers(status: &Value) -> Vec<&str> {
    status["blockedBy"].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// One line on how far a rotation is.
pub(super) fn progress(status: &Value) -> String {
    let what = match (status["phase"].as_str(), status["aborting"].as_bool()) {
        (Some("distributing"), _) => "1/2 the new root is given to everybody",
        (Some("reissuing"), Some(true)) => "2/2 everybody is certified by the old root again",
        (Some("reissuing"), _) => "2/2 everybody is certified by the new root",
        _ => return "done".to_owned(),
    };
    let waiting = blockers(status);
    match waiting.as_slice() {
        [] => what.to_owned(),
        [one] => format!("{what}; waiting for {one}"),
        [one, more @ ..] => format!("{what}; waiting for {one}, and {} more", more.len()),
    }
}

pub(super) fn text(status: &Value, now: u64) -> String {
    let of = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let mut out =
        format!("trust domain {}\nrotation     {}\n", of(&status["trustDomain"]), of(&status["phase"]));
    if status["phase"] != "steady" {
        out.push_str(&format!("             {}\n", progress(status)));
        out.push_str(&format!("             since {}\n", of(&status["since"])));
    }
    for blocker in blockers(status) {
        out.push_str(&format!("             waits for {blocker}\n"));
    }
    let mut rows = vec![["AUTHORITY", "ROLE", "SUBJECT", "EXPIRES"].map(str::to_owned).to_vec()];
    for (kind, list) in [("root", &status["roots"]), ("intermediate", &status["intermediates"])] {
        for one in list.as_array().into_iter().flatten() {
            let name = format!("{kind} {}", of(&one["fingerprint"]));
            rows.push(vec![name, of(&one["role"]), of(&one["subject"]), until(&one["notAfter"], now)]);
        }
    }
    out.push('\n');
    out.push_str(&table(&rows));
    let mut rows = vec![["PROXY", "ROOT", "SERIAL", "EXPIRES", "TRUST"].map(str::to_owned).to_vec()];
    for one in status["proxies"].as_array().into_iter().flatten() {
        let expires = until(&one["notAfter"], now);
        rows.push(vec![of(&one["proxy"]), of(&one["root"]), of(&one["serial"]), expires, of(&one["trust"])]);
    }
    out.push('\n');
    let shown = rows.len() - 1;
    out.push_str(&table(&rows));
    let total = status["proxiesTotal"].as_u64().unwrap_or_default();
    if total > shown as u64 {
        out.push_str(&format!("and {} more\n", total - shown as u64));
    }
    out
}

/// When that is, and how long until then.
fn until(time: &Value, now: u64) -> String {
    let Some(text) = time.as_str() else { return "-".to_owned() };
    let Ok(at) = text.parse::<jiff::Timestamp>() else { return text.to_owned() };
    let left = at.as_second() - i64::try_from(now).unwrap_or(i64::MAX);
    let left = match left {
        ..0 => "expired".to_owned(),
        0..7200 => format!("in {}m", left / 60),
        7200..172_800 => format!("in {}h", left / 3600),
        _ => format!("in {}d", left / 86_400),
    };
    format!("{text} ({left})")
}

fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |i: usize| rows.iter().map(|row| row[i].len()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut out = String::new();
    for row in rows {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, w)| format!("{cell:w$}")).collect();
        out.push_str(cells.join("  ").trim_end());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_rotation_that_is_held_up_says_by_whom() {
        let status = json!({
            "trustDomain": "cluster.local", "phase": "distributing", "aborting": false, "since": "2026-11-29T00:00:00Z",
            "blockedBy": ["shop/cart-1: it is not connected", "shop/pay-1: it has not acknowledged what it is to trust"],
            "roots": [
                {"fingerprint": "aa", "role": "signing", "subject": "O=x", "notAfter": "2026-12-01T00:00:00Z"},
                {"fingerprint": "bb", "role": "coming", "subject": "O=x", "notAfter": "2036-11-29T00:00:00Z"},
            ],
            "intermediates": [],
            "proxies": [{"proxy": "shop/cart-1", "root": "aa", "serial": "1", "notAfter": "2026-11-29T01:30:00Z", "trust": "it is not connected"}],
            "proxiesTotal": 3,
        });
        assert_eq!(
            text(&status, 1_795_910_400),
            "trust domain cluster.local\n\
             rotation     distributing\n             \
             1/2 the new root is given to everybody; waiting for shop/cart-1: it is not connected, and 1 more\n             \
             since 2026-11-29T00:00:00Z\n             \
             waits for shop/cart-1: it is not connected\n             \
             waits for shop/pay-1: it has not acknowledged what it is to trust\n\n\
             AUTHORITY  ROLE     SUBJECT  EXPIRES\n\
             root aa    signing  O=x      2026-12-01T00:00:00Z (in 2d)\n\
             root bb    coming   O=x      2036-11-29T00:00:00Z (in 3653d)\n\n\
             PROXY        ROOT  SERIAL  EXPIRES                        TRUST\n\
             shop/cart-1  aa    1       2026-11-29T01:30:00Z (in 90m)  it is not connected\n\
             and 2 more\n"
        );
        assert_eq!(progress(&json!({"phase": "steady"})), "done");
    }
}
