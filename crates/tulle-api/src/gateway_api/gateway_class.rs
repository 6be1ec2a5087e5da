//! `GatewayClass`: who makes gateways of a class.

use super::common::ParametersReference;
use crate::schema::record;

record! {
    /// Who makes gateways of a class.
    pub struct GatewayClassSpec {
        /// The controller, as a path below its domain; it may not change.
        pub controller_name: String = "controllerName" => required,
        /// Its parameters.
        pub parameters_ref: Option<ParametersReference> = "parametersRef"
            => no_effect("gateways have no parameters"),
        /// For people.
        pub description: String = "description" => no_effect("it is for people"),
    }
}
