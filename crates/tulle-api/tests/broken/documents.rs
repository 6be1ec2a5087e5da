//! Documents without a fault.

use super::Dice;

/// A small document that is good; `number` keeps the names of a file apart.
pub(super) fn good(dice: &mut Dice, number: usize) -> String {
    match dice.below(4) {
        0 => format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: good-{number}}}\n"),
        1 => format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: good-{number}\ndata:\n  text: |\n    a: b\n     - {{\n    # none\n"
        ),
        2 => format!(
            "# Comes first.\napiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata:\n  name: good-{number}\n\
             spec:\n  mtls: {{mode: STRICT}}\n"
        ),
        _ => format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: good-{number}}}\nspec:\n  selector: {{app: a}}\n  ports:\n\
             \n  - port: 80\n    name: http\n"
        ),
    }
}

/// A document with one line for each field that the ways break. Lines in front of `spec` vary, so that lines do.
pub(super) fn sample(dice: &mut Dice) -> String {
    let mut text =
        String::from("apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata:\n  name: broken\n");
    if dice.below(2) == 0 {
        text.push_str("  labels:\n    app: a\n\n");
    }
    text.push_str(&"# Above the spec.\n".repeat(dice.below(4)));
    text.push_str(
        "spec:\n  hosts:\n  - first.example.com\n  - second.example.com\n  exportTo:\n  - '*'\n  http:\n  - name: one\n    match:\n    \
         - uri:\n        regex: '/a.*'\n      method:\n        exact: GET\n      sourceNamespace: shop\n      port: 8080\n    route:\n    \
         - weight: 90\n      destination:\n        host: reviews\n        subset: v1\n        port:\n          number: 9080\n    \
         - weight: 10\n      destination:\n        host: reviews\n        subset: v2\n    timeout: 10s\n    retries:\n      attempts: 3\n      \
         perTryTimeout: 2s\n      retryOn: 5xx,reset\n    mirror:\n      host: shadow\n    mirrorPercentage:\n      value: 50\n    \
         corsPolicy:\n      unmatchedPreflights: FORWARD\n      maxAge: 10s\n    headers:\n      request:\n        set:\n          \
         x-added: one\n",
    );
    text
}
