//! What is in a pod's volumes.

use std::path::PathBuf;

use tulle_api::kubernetes::{
    ConfigMap, ConfigMapVolume, DownwardApiFile, DownwardApiVolume, KeyToPath, ProjectedKeys,
    ProjectedVolume, Secret, SecretVolume, ServiceAccount, ServiceAccountTokenProjection, Volume,
    VolumeProjection, VolumeSource,
};

use super::build::Problem;
use super::files::VolumeFile;
use super::token::{Claims, TokenSigner};
use super::variables::Fields;
use crate::cluster::view::View;

/// Audience of tokens that name none.
pub(super) const DEFAULT_AUDIENCE: &str = super::token::ISSUER;
/// Life of tokens that name none, in seconds.
pub(super) const DEFAULT_LIFETIME: i64 = 3600;
const DEFAULT_MODE: u32 = 0o644;

/// What a volume is.
pub(super) enum Content {
    /// These files, read-only for containers.
    Files(Vec<VolumeFile>),
    /// An empty directory for the pod.
    Empty,
    /// A path of the host.
    Host(PathBuf),
}

pub(super) struct Sources<'a> {
    pub fields: &'a Fields<'a>,
    pub view: &'a View,
    pub signer: &'a TokenSigner,
    /// Seconds since 1970.
    pub now: i64,
}

impl Sources<'_> {
    /// What a volume holds now.
    pub(super) fn content(&self, volume: &Volume) -> Result<Content, Problem> {
        let field = format!("volume {}", volume.name);
        Ok(match &volume.source {
            None => Content::Empty,
            Some(VolumeSource::ConfigMap(v)) => {
                let ConfigMapVolume { name, items, default_mode, optional } = v;
                Content::Files(self.config_map(name, items, mode(*default_mode), *optional, &field)?)
            }
            Some(VolumeSource::Secret(v)) => {
                let SecretVolume { secret_name, items, default_mode, optional } = v;
                Content::Files(self.secret(secret_name, items, mode(*default_mode), *optional, &field)?)
            }
            Some(VolumeSource::Projected(v)) => Content::Files(self.projected(v, &field)?),
            Some(VolumeSource::DownwardApi(v)) => {
                let DownwardApiVolume { items, default_mode } = v;
                Content::Files(self.downward(items, mode(*default_mode), &field)?)
            }
            // A claim of storage is an empty directory here: the manifest's diagnostics say so.
            Some(
                VolumeSource::EmptyDir(_)
                | VolumeSource::PersistentVolumeClaim(_)
                | VolumeSource::Csi(_)
                | VolumeSource::Ephemeral(_)
                | VolumeSource::Nfs(_),
            ) => Content::Empty,
            Some(VolumeSource::HostPath(v)) => Content::Host(host_path(&v.path, &v.path_type, &field)?),
        })
    }

    fn projected(&self, volume: &ProjectedVolume, field: &str) -> Result<Vec<VolumeFile>, Problem> {
        let mode = mode(volume.default_mode);
        let mut files = Vec::new();
        for source in &volume.sources {
            files.extend(match source {
                VolumeProjection::ServiceAccountToken(token) => vec![self.token(token, mode, field)?],
                VolumeProjection::ConfigMap(ProjectedKeys { name, items, optional }) => {
                    self.config_map(name, items, mode, *optional, field)?
                }
                VolumeProjection::Secret(ProjectedKeys { name, items, optional }) => {
                    self.secret(name, items, mode, *optional, field)?
                }
                VolumeProjection::DownwardApi(api) => self.downward(&api.items, mode, field)?,
                VolumeProjection::ClusterTrustBundle(_) | VolumeProjection::Unset => Vec::new(),
            });
        }
        Ok(files)
    }

    fn token(
        &self,
        token: &ServiceAccountTokenProjection,
        mode: u32,
        field: &str,
    ) -> Result<VolumeFile, Problem> {
        let meta = &self.fields.pod.meta;
        let account = self.fields.spec.account();
        let uid = match self.view.get::<ServiceAccount>(&meta.namespace, account) {
            Some((object, _)) => &object.meta.uid,
            None => return Err(Problem::waits(field, format!("ServiceAccount {account} does not exist"))),
        };
        let claims = Claims {
            namespace: &meta.namespace,
            account,
            account_uid: uid,
            pod: &meta.name,
            pod_uid: &meta.uid,
            audience: Some(token.audience.as_str()).filter(|a| !a.is_empty()).unwrap_or(DEFAULT_AUDIENCE),
            now: self.now,
            lifetime: token.expiration_seconds.unwrap_or(DEFAULT_LIFETIME).max(600),
        };
        let text = self.signer.sign(&claims).map_err(|e| Problem::new(field, e.to_string()))?;
        Ok(VolumeFile { path: token.path.clone(), bytes: text.into_bytes(), mode })
    }

    fn config_map(
        &self,
        name: &str,
        items: &[KeyToPath],
        mode: u32,
        optional: Option<bool>,
        field: &str,
    ) -> Result<Vec<VolumeFile>, Problem> {
        let found = self.view.get::<ConfigMap>(&self.fields.pod.meta.namespace, name);
        let values = found.map(|(_, c)| {
            let text = c.data.iter().map(|(k, v)| (k.clone(), v.clone().into_bytes()));
            text.chain(c.binary_data.iter().map(|(k, v)| (k.clone(), v.0.clone()))).collect()
        });
        select(values, &format!("ConfigMap {name}"), items, mode, optional, field)
    }

    fn secret(
        &self,
        name: &str,
        items: &[KeyToPath],
        mode: u32,
        optional: Option<bool>,
        field: &str,
    ) -> Result<Vec<VolumeFile>, Problem> {
        let found = self.view.get::<Secret>(&self.fields.pod.meta.namespace, name);
        let values =
            found.map(|(_, s)| s.values().into_iter().map(|(k, v)| (k.to_owned(), v.to_vec())).collect());
        select(values, &format!("Secret {name}"), items, mode, optional, field)
    }

    fn downward(
        &self,
        items: &[DownwardApiFile],
        mode: u32,
        field: &str,
    ) -> Result<Vec<VolumeFile>, Problem> {
        let mut files = Vec::new();
        for item in items {
            let Some(r) = &item.field_ref else { continue };
            let value = self.fields.get(&r.field_path).ok_or_else(|| {
                Problem::new(field, format!("fieldRef {} is not a field that a file can take", r.field_path))
            })?;
            let mode = item.mode.map_or(mode, |m| m.unsigned_abs());
            files.push(VolumeFile { path: item.path.clone(), bytes: value.into_bytes(), mode });
        }
        Ok(files)
    }
}

/// The keys that are wanted, as files.
fn select(
    values: Option<Vec<(String, Vec<u8>)>>,
    what: &str,
    items: &[KeyToPath],
    mode: u32,
    optional: Option<bool>,
    field: &str,
) -> Result<Vec<VolumeFile>, Problem> {
    let Some(values) = values else {
        return if optional == Some(true) {
            Ok(Vec::new())
        } else {
            Err(Problem::waits(field, format!("{what} does not exist")))
        };
    };
    if items.is_empty() {
        return Ok(values.into_iter().map(|(path, bytes)| VolumeFile { path, bytes, mode }).collect());
    }
    let mut files = Vec::new();
    for item in items {
        match values.iter().find(|(k, _)| *k == item.key) {
            Some((_, bytes)) => files.push(VolumeFile {
                path: item.path.clone(),
                bytes: bytes.clone(),
                mode: item.mode.map_or(mode, |m| m.unsigned_abs()),
            }),
            None if optional == Some(true) => {}
            None => return Err(Problem::waits(field, format!("{what} has no key {}", item.key))),
        }
    }
    Ok(files)
}

fn mode(given: Option<i32>) -> u32 {
    given.map_or(DEFAULT_MODE, i32::unsigned_abs)
}

/// A path of the host; `DirectoryOrCreate` and `FileOrCreate` make what is missing.
fn host_path(path: &str, kind: &str, field: &str) -> Result<PathBuf, Problem> {
    let path = PathBuf::from(path);
    let made = match kind {
        "DirectoryOrCreate" => std::fs::create_dir_all(&path),
        "FileOrCreate" if !path.exists() => std::fs::write(&path, ""),
        _ => Ok(()),
    };
    made.map_err(|e| Problem::new(field, format!("hostPath {}: {e}", path.display())))?;
    if !path.exists() {
        return Err(Problem::waits(field, format!("hostPath {} does not exist", path.display())));
    }
    Ok(path)
}

/// Whether a volume's files change by themselves: it holds a token that must be renewed.
pub(super) fn has_token(volume: &Volume) -> bool {
    match &volume.source {
        Some(VolumeSource::Projected(p)) => {
            p.sources.iter().any(|s| matches!(s, VolumeProjection::ServiceAccountToken(_)))
        }
        _ => false,
    }
}
