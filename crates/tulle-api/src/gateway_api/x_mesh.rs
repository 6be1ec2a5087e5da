//! `XMesh`: who runs the mesh. On trial in the Gateway API.

use super::common::ParametersReference;
use crate::schema::record;

record! {
    /// Who runs the mesh.
    pub struct XMeshSpec {
        /// The controller, as a path below its domain; it may not change.
        pub controller_name: String = "controllerName" => required,
        /// Its parameters.
        pub parameters_ref: Option<ParametersReference> = "parametersRef",
        /// For people.
        pub description: String = "description",
    }
}
