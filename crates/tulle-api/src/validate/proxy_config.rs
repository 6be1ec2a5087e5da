//! Rules about `ProxyConfig`.

use super::common::{not_negative, selector as check_selector};
use super::names;
use super::rules::Rules;
use crate::istio::ProxyConfig;
use crate::schema::At;

/// Checks a ProxyConfig.
pub(super) fn check(given: &ProxyConfig, at: &At<'_>, rules: &mut Rules) {
    let ProxyConfig { selector, concurrency, environment_variables, image } = given;
    check_selector(selector.as_ref(), &at.field("selector"), rules);
    not_negative(*concurrency, &at.field("concurrency"), rules);
    for name in environment_variables.keys() {
        rules.check(&at.field("environmentVariables").field(name), names::env_name(name));
    }
    if let Some(image) = image.as_ref().filter(|i| !is_image_type(&i.image_type)) {
        let message = format!("must be default, debug or distroless but is {:?}", image.image_type);
        rules.error(&at.field("image").field("imageType"), message, "");
    }
}

/// Whether this is one of Istio's images.
pub(super) fn is_image_type(text: &str) -> bool {
    matches!(text, "" | "default" | "debug" | "distroless")
}
