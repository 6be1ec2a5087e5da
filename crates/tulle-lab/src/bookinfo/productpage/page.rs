//! The page as HTML.

use std::fmt::Write;

use serde_json::{Value, json};

use super::Sorry;

const TEMPLATE: &str = include_str!("../page.html");
const TITLE: &str = "The Comedy of Errors";
const SUMMARY: &str = "An early and short comedy by William Shakespeare. Two pairs of twins, parted by a shipwreck as \
    infants, come to the same city on the same day; everybody takes everybody for somebody else, until all of them \
    meet in one place.";

/// The one book of the shop, as the API lists it.
pub(super) fn product() -> Value {
    json!({ "id": 0, "title": TITLE, "descriptionHtml": SUMMARY })
}

/// The page for `user` with what the neighbours said.
pub(super) fn render(
    user: Option<&str>,
    details: &Result<Value, Sorry>,
    reviews: &Result<Value, Sorry>,
) -> String {
    TEMPLATE
        .replace("{{user}}", &user_html(user))
        .replace("{{title}}", TITLE)
        .replace("{{summary}}", SUMMARY)
        .replace("{{details}}", &part(details, "details", details_html))
        .replace("{{reviews}}", &part(reviews, "reviews", reviews_html))
}

fn part(found: &Result<Value, Sorry>, what: &str, html: fn(&Value) -> String) -> String {
    match found {
        Ok(value) => html(value),
        Err(sorry) => {
            format!("<p class=\"error\">Error fetching product {what}!</p><p>{}</p>", escape(&sorry.message))
        }
    }
}

fn user_html(user: Option<&str>) -> String {
    match user {
        Some(name) => {
            format!("<span>{} (<a class=\"brand\" href=\"/logout\">sign out</a>)</span>", escape(name))
        }
        None => "<form action=\"/login\" method=\"post\"><input name=\"username\" placeholder=\"User name\" \
                 aria-label=\"User name\" required><button>Sign in</button></form>"
            .to_owned(),
    }
}

fn details_html(details: &Value) -> String {
    let rows = [
        ("Type", "type"),
        ("Pages", "pages"),
        ("Publisher", "publisher"),
        ("Language", "language"),
        ("ISBN-10", "ISBN-10"),
        ("ISBN-13", "ISBN-13"),
    ];
    let mut html = String::from("<dl>");
    for (label, key) in rows {
        let _ = write!(html, "<dt>{label}</dt><dd>{}</dd>", escape(&plain(&details[key])));
    }
    html + "</dl>"
}

fn reviews_html(answer: &Value) -> String {
    let mut html = String::new();
    for review in answer["reviews"].as_array().into_iter().flatten() {
        let _ = write!(
            html,
            "<blockquote><p>{}</p><footer>{}</footer>{}</blockquote>",
            escape(&plain(&review["text"])),
            escape(&plain(&review["reviewer"])),
            stars_html(&review["rating"])
        );
    }
    let _ = write!(html, "<p class=\"served\">Reviews served by: {}</p>", escape(&plain(&answer["podname"])));
    html
}

/// Five stars in the version's colour, filled as far as the rating goes; nothing for a version without ratings.
fn stars_html(rating: &Value) -> String {
    if let Some(error) = rating["error"].as_str() {
        return format!("<p class=\"error\">{}</p>", escape(error));
    }
    let Some(stars) = rating["stars"].as_u64() else { return String::new() };
    let filled = usize::try_from(stars.min(5)).unwrap_or(5);
    let color = if rating["color"] == "red" { "red" } else { "black" };
    format!(
        "<div class=\"stars\" style=\"color:{color}\" role=\"img\" aria-label=\"{filled} of 5 stars\">{}{}</div>",
        "★".repeat(filled),
        "☆".repeat(5 - filled)
    )
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    #[test]
    fn shows_stars_in_their_colour() {
        let reviews = json!({ "podname": "reviews-v3-x", "reviews": [
            { "reviewer": "Reviewer1", "text": "<good>", "rating": { "stars": 5, "color": "red" } },
            { "reviewer": "Reviewer2", "text": "fair", "rating": { "stars": 4, "color": "red" } },
        ]});
        let html = render(None, &Ok(json!({ "pages": 200 })), &Ok(reviews));
        assert!(html.contains("★★★★★</div>") && html.contains("★★★★☆</div>"));
        assert!(html.contains("color:red") && html.contains("&lt;good&gt;") && html.contains("reviews-v3-x"));
        assert!(!html.contains("{{"));
    }

    #[test]
    fn shows_what_is_missing() {
        let sorry = Sorry { status: StatusCode::SERVICE_UNAVAILABLE, message: "Sorry.".to_owned() };
        let html = render(Some("jason"), &Err(sorry.clone()), &Err(sorry));
        assert!(html.contains("Error fetching product reviews!") && html.contains("jason"));
    }
}
