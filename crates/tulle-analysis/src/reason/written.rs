//! Settings of the mesh that are part of the configuration: in an IstioOperator, or in the ConfigMap `istio`.

use tulle_api::Object;
use tulle_api::kubernetes::ConfigMap;
use tulle_api::mesh::{IstioOperator, MeshConfig, read_config_map};

/// The settings written in `objects`: those of the ConfigMap `istio`, as that is what runs, then those of an IstioOperator.
pub fn mesh_config<'a>(objects: impl Iterator<Item = &'a Object> + Clone) -> Option<MeshConfig> {
    let mut maps = objects.clone().filter(|o| o.meta.name == "istio").filter_map(|o| o.get::<ConfigMap>());
    let mut operators = objects.filter_map(|o| o.get::<IstioOperator>());
    maps.find_map(|map| read_config_map(map).0.mesh).or_else(|| operators.find_map(|o| o.mesh_config.clone()))
}

/// `given` with what is written in `objects`, as far as analysis looks at it.
pub fn with_written<'a>(
    mut given: tulle_mesh::MeshConfig,
    objects: impl Iterator<Item = &'a Object> + Clone,
) -> tulle_mesh::MeshConfig {
    if let Some(written) = mesh_config(objects) {
        let set = |to: &mut String, from: String| {
            if !from.is_empty() {
                *to = from;
            }
        };
        set(&mut given.root_namespace, written.root_namespace);
        set(&mut given.trust_domain, written.trust_domain);
    }
    given
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_config_map_goes_before_an_operator() {
        let text = "{apiVersion: install.istio.io/v1alpha1, kind: IstioOperator, metadata: {name: a, namespace: istio-system}, \
                    spec: {meshConfig: {rootNamespace: one, trustDomain: example.org}}}\n---\n\
                    {apiVersion: v1, kind: ConfigMap, metadata: {name: istio, namespace: istio-system}, \
                    data: {mesh: 'rootNamespace: two'}}";
        let (objects, problems) = tulle_api::parse_manifests("", text.as_bytes());
        assert_eq!(objects.len(), 2, "{problems:?}");
        let of = |objects: &[Object]| with_written(tulle_mesh::MeshConfig::default(), objects.iter());
        assert_eq!(of(&objects).root_namespace, "two");
        assert_eq!(
            (of(&objects[..1]).root_namespace.as_str(), of(&objects[..1]).trust_domain.as_str()),
            ("one", "example.org")
        );
        assert_eq!(of(&[]).root_namespace, "istio-system");
    }
}
