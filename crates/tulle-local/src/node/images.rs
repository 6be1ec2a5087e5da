//! Which images run here without a container runtime.

use tulle_api::kubernetes::Container;

use crate::cluster::inject::PROXY_IMAGE;

/// Image of the gateway: this program.
pub const GATEWAY_IMAGE: &str = "tulle.dev/gateway";
/// Image of the control plane: this program.
pub const CONTROL_PLANE_IMAGE: &str = "tulle.dev/control-plane";

/// Programs that are built in and stand for images.
pub trait Images: Send + Sync {
    /// The arguments that make this program the one that `image` stands for.
    fn program(&self, image: &str) -> Option<Vec<String>>;

    /// The images that are known, as people write them.
    fn known(&self) -> Vec<String>;
}

/// A container that nothing can be run for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "container {container}: image {image:?} is not built in and nothing is pulled here; either give the container a \
     command (a program of this host), or use a built-in image: {known}"
)]
pub struct UnknownImage {
    /// The container.
    pub container: String,
    /// Its image.
    pub image: String,
    /// What would be known.
    pub known: String,
}

/// What a container runs, before its arguments are expanded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A program of the host: name and arguments.
    Host(Vec<String>),
    /// This program, with these arguments and then the container's.
    BuiltIn(Vec<String>),
    /// The sidecar.
    Proxy,
    /// The gateway.
    Gateway,
    /// The control plane.
    ControlPlane,
}

/// What a container runs: its command, else its image's program.
///
/// # Errors
/// [`UnknownImage`] with both ways out.
pub fn entry(container: &Container, images: &dyn Images) -> Result<Entry, UnknownImage> {
    if !container.command.is_empty() {
        return Ok(Entry::Host(container.command.clone()));
    }
    match container.image.as_str() {
        PROXY_IMAGE => return Ok(Entry::Proxy),
        GATEWAY_IMAGE => return Ok(Entry::Gateway),
        CONTROL_PLANE_IMAGE => return Ok(Entry::ControlPlane),
        _ => {}
    }
    images.program(&container.image).map(Entry::BuiltIn).ok_or_else(|| UnknownImage {
        container: container.name.clone(),
        image: container.image.clone(),
        known: images.known().join(", "),
    })
}
