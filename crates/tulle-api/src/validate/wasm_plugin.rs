//! Rules about `WasmPlugin` and `TrafficExtension`.

use std::collections::HashSet;

use super::common::{at_most, port, selector as check_selector, target_refs as check_targets};
use super::rules::Rules;
use crate::istio::{
    ExtensionFilter, TrafficExtension, TrafficSelector, WasmEnvSource, WasmPlugin, WasmVmConfig,
};
use crate::schema::At;

/// Longest Lua script in bytes.
const MAX_SCRIPT: usize = 65_536;

/// Checks a WasmPlugin.
pub(super) fn check(given: &WasmPlugin, at: &At<'_>, rules: &mut Rules) {
    rules.exclusive(
        at,
        &[
            ("selector", given.selector.is_some()),
            ("targetRef", given.target_ref.is_some()),
            ("targetRefs", !given.target_refs.is_empty()),
        ],
    );
    check_selector(given.selector.as_ref(), &at.field("selector"), rules);
    check_targets(given.target_ref.as_ref(), &given.target_refs, at, rules);
    check_module(&given.url, &given.sha256, given.vm_config.as_ref(), at, rules);
    check_matches(&given.matches, at, rules);
}

/// Checks a TrafficExtension.
pub(super) fn check_extension(given: &TrafficExtension, at: &At<'_>, rules: &mut Rules) {
    let targets = &given.target_refs;
    rules.exclusive(at, &[("selector", given.selector.is_some()), ("targetRefs", !targets.is_empty())]);
    check_selector(given.selector.as_ref(), &at.field("selector"), rules);
    check_targets(None, targets, at, rules);
    check_matches(&given.matches, at, rules);
    match &given.filter_config {
        None => rules.error(at, "has no filter", "give wasm or lua"),
        Some(ExtensionFilter::Wasm(wasm)) => {
            check_module(&wasm.url, &wasm.sha256, wasm.vm_config.as_ref(), &at.field("wasm"), rules);
        }
        Some(ExtensionFilter::Lua(lua)) => {
            if lua.inline_code.len() > MAX_SCRIPT {
                let message =
                    format!("has {} bytes, at most {MAX_SCRIPT} are allowed", lua.inline_code.len());
                rules.error(&at.field("lua").field("inlineCode"), message, "");
            }
        }
    }
}

fn check_module(url: &str, sha256: &str, vm: Option<&WasmVmConfig>, at: &At<'_>, rules: &mut Rules) {
    if let Some((scheme, rest)) = url.split_once("://") {
        if !matches!(scheme, "oci" | "http" | "https" | "file") {
            let message = format!("{url:?} has the unknown scheme {scheme}");
            rules.error(&at.field("url"), message, "write oci, http, https or file");
        } else if rest.is_empty() {
            rules.error(&at.field("url"), format!("{url:?} names nothing"), "");
        }
    }
    let digits = sha256.len() == 64 && sha256.bytes().all(|b| b.is_ascii_hexdigit());
    if !sha256.is_empty() && !digits {
        let message = format!("must be 64 hexadecimal digits but is {sha256:?}");
        rules.error(&at.field("sha256"), message, "");
    }
    let Some(vm) = vm else { return };
    let config = at.field("vmConfig");
    let list = config.field("env");
    at_most(vm.env.len(), 256, &list, rules);
    let mut seen = HashSet::new();
    for (i, variable) in vm.env.iter().enumerate() {
        let here = list.index(i);
        if !seen.insert(&variable.name) {
            rules.error(&here.field("name"), format!("{:?} is given twice", variable.name), "keep one");
        }
        if variable.value_from == Some(WasmEnvSource::Host) && !variable.value.is_empty() {
            rules.error(&here.field("value"), "is for INLINE, not for HOST", "remove it");
        }
    }
}

fn check_matches(given: &[TrafficSelector], at: &At<'_>, rules: &mut Rules) {
    for (i, matched) in given.iter().enumerate() {
        let list = at.field("match");
        let here = list.index(i);
        for (k, number) in matched.ports.iter().enumerate() {
            port(Some(number.number), &here.field("ports").index(k).field("number"), rules);
        }
    }
}
