//! `IstioOperator` (`install.istio.io`): an installation of Istio, of which the mesh's settings matter here.

use serde_json::Value;

use super::mesh_config::MeshConfig;
use crate::schema::record;

record! {
    /// An installation of Istio, of which the mesh's settings matter here.
    pub struct IstioOperator {
        /// Settings of the whole mesh.
        pub mesh_config: Option<MeshConfig> = "meshConfig",
        /// Revision of the control plane.
        pub revision: String = "revision" => no_effect("there is one control plane"),
        /// Namespace of the control plane.
        pub namespace: String = "namespace" => no_effect("the control plane is in istio-system"),
        /// Profile that the installation begins with.
        pub profile: String = "profile" => no_effect("nothing is installed"),
        /// Path of the installation's charts.
        pub install_package_path: String = "installPackagePath" => no_effect("nothing is installed"),
        /// Registry of the images.
        pub hub: String = "hub" => no_effect("no images are pulled"),
        /// Version of the images.
        pub tag: Option<Value> = "tag" => no_effect("no images are pulled"),
        /// Older version whose behaviour is wanted.
        pub compatibility_version: String = "compatibilityVersion" => no_effect("there is one behaviour"),
        /// What is installed, and with which resources.
        pub components: Option<Value> = "components" => no_effect("nothing is installed"),
        /// Values of the charts.
        pub values: Option<Value> = "values" => no_effect("there are no charts; settings of the mesh belong in meshConfig"),
        /// More values of the charts.
        pub unvalidated_values: Option<Value> = "unvalidatedValues"
            => no_effect("there are no charts; settings of the mesh belong in meshConfig"),
    }
}
