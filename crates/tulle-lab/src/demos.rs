//! The demos' manifests, embedded: what `tulle up --demo NAME` applies.

/// A demo: its name and its manifest files.
#[derive(Clone, Copy, Debug)]
pub struct Demo {
    /// What `--demo` is given.
    pub name: &'static str,
    /// File name and YAML of each manifest, in the order in which they are applied.
    pub files: &'static [(&'static str, &'static str)],
}

/// Every demo there is.
pub const DEMOS: &[Demo] = &[Demo {
    name: "bookinfo",
    files: &[
        ("demos/bookinfo/namespace.yaml", include_str!("../../../demos/bookinfo/namespace.yaml")),
        ("demos/bookinfo/bookinfo.yaml", include_str!("../../../demos/bookinfo/bookinfo.yaml")),
        (
            "demos/bookinfo/destination-rules.yaml",
            include_str!("../../../demos/bookinfo/destination-rules.yaml"),
        ),
        ("demos/bookinfo/gateway.yaml", include_str!("../../../demos/bookinfo/gateway.yaml")),
        ("demos/bookinfo/strict-mtls.yaml", include_str!("../../../demos/bookinfo/strict-mtls.yaml")),
    ],
}];

/// The demo called `name`.
pub fn demo(name: &str) -> Option<&'static Demo> {
    DEMOS.iter().find(|d| d.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_image_of_a_demo_is_known() {
        for (file, yaml) in DEMOS.iter().flat_map(|d| d.files) {
            for image in yaml.lines().filter_map(|l| l.trim().strip_prefix("image: ")) {
                assert!(crate::program_for_image(image).is_some(), "{file}: {image}");
            }
        }
    }
}
