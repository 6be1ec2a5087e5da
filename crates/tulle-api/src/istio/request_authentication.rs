//! `RequestAuthentication` (`security.istio.io`): which tokens a workload accepts.

use super::common::{PolicyTargetReference, WorkloadSelector};
use crate::schema::record;
use crate::value::WrittenDuration;

record! {
    /// Which tokens workloads accept. A request without token passes; one with an invalid token is refused.
    pub struct RequestAuthentication {
        /// Workloads; the whole namespace by default, the whole mesh in the root namespace.
        pub selector: Option<WorkloadSelector> = "selector",
        /// A Gateway or waypoint that this is for.
        pub target_ref: Option<PolicyTargetReference> = "targetRef",
        /// Gateways, waypoints or services that this is for; excludes `selector`.
        pub target_refs: Vec<PolicyTargetReference> = "targetRefs",
        /// Rules by issuer.
        pub jwt_rules: Vec<JwtRule> = "jwtRules",
    }
}

record! {
    /// Tokens of one issuer.
    pub struct JwtRule {
        /// Must equal the token's `iss`.
        pub issuer: String = "issuer" => required,
        /// One must be in the token's `aud`; the service name by default.
        pub audiences: Vec<String> = "audiences",
        /// Where the keys are; found by OpenID discovery by default. Excludes `jwks`.
        pub jwks_uri: String = "jwksUri" => alias("jwks_uri"),
        /// The keys; excludes `jwksUri`.
        pub jwks: String = "jwks",
        /// Headers that carry the token; `Authorization: Bearer` by default.
        pub from_headers: Vec<JwtHeader> = "fromHeaders",
        /// Query parameters that carry the token; `access_token` by default.
        pub from_params: Vec<String> = "fromParams",
        /// Header that gets the verified payload as base64 JSON.
        pub output_payload_to_header: String = "outputPayloadToHeader",
        /// Cookies that carry the token.
        pub from_cookies: Vec<String> = "fromCookies",
        /// Whether the token stays on the request; false by default.
        pub forward_original_token: Option<bool> = "forwardOriginalToken",
        /// Claims that are copied to headers.
        pub output_claim_to_headers: Vec<ClaimToHeader> = "outputClaimToHeaders",
        /// Time to fetch the keys; 5s by default.
        pub timeout: Option<WrittenDuration> = "timeout",
        /// Claims that are lists separated by blanks, besides `scope` and `permission`.
        pub space_delimited_claims: Vec<String> = "spaceDelimitedClaims",
    }
}

record! {
    /// A header that carries a token.
    pub struct JwtHeader {
        /// Name of the header.
        pub name: String = "name" => required,
        /// What stands before the token, with its blank, such as `Bearer `.
        pub prefix: String = "prefix",
    }
}

record! {
    /// A claim that is copied to a header.
    pub struct ClaimToHeader {
        /// Name of the header.
        pub header: String = "header" => required,
        /// Name of the claim; it holds text, a whole number or a boolean.
        pub claim: String = "claim" => required,
    }
}
