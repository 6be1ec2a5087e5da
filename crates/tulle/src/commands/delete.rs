//! `tulle delete`: takes objects away.

use std::path::PathBuf;
use std::process::ExitCode;

use http::Method;
use tulle_api::Kind;
use tulle_apiserver::Client;

use super::apply::read;
use super::resources::{Api, kind, path, succeeded};
use crate::outcome::{Failure, Outcome};

/// Delete resources of the running mesh, by kind and name or as files name them. What a watched folder has comes back when its
/// file changes.
///
/// Example: tulle delete virtualservice cart -n shop
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("what").required(true).multiple(false).args(["filename", "names"]))]
pub(crate) struct Args {
    /// Kind and names, or KIND/NAME.
    #[arg(value_name = "KIND NAME")]
    names: Vec<String>,
    /// Files or folders of manifests.
    #[arg(short, long = "filename", value_name = "PATH")]
    filename: Vec<PathBuf>,
    /// Namespace of what is given by name; default: that of the kubeconfig.
    #[arg(short, long, value_name = "NS")]
    namespace: Option<String>,
    /// Takes no offence at what is not there.
    #[arg(long)]
    ignore_not_found: bool,
    #[command(flatten)]
    api: Api,
}

#[allow(clippy::print_stderr, reason = "failures are told one by one")]
pub(crate) fn run(args: &Args) -> Outcome {
    let (mut wrong, mut targets) = (false, Vec::new());
    let files = if args.filename.is_empty() { None } else { Some(read(&args.filename)?) };
    let named = named(&args.names)?;
    let (runtime, client) = args.api.connect()?;
    if let Some((objects, bad)) = files {
        wrong = bad;
        // What was made last goes first: namespaces at the end.
        targets.extend(objects.into_iter().rev().map(|o| (o.kind(), o.meta.namespace, o.meta.name)));
    }
    let namespace = args.namespace.clone().unwrap_or_else(|| client.namespace().to_owned());
    targets.extend(named.into_iter().map(|(kind, name)| (kind, namespace.clone(), name)));
    for (kind, namespace, name) in &targets {
        if let Err(failure) = runtime.block_on(delete(args, &client, *kind, namespace, name)) {
            wrong = true;
            eprintln!("error: {:#}", failure.into_error());
        }
    }
    Ok(if wrong { ExitCode::from(1) } else { ExitCode::SUCCESS })
}

/// Kinds and names of `KIND NAME...` or `KIND/NAME...`.
fn named(words: &[String]) -> Result<Vec<(Kind, String)>, Failure> {
    let Some(first) = words.first() else { return Ok(Vec::new()) };
    if first.contains('/') {
        return words
            .iter()
            .map(|word| {
                let (k, name) = word.split_once('/').unwrap_or((word, ""));
                Ok((kind(k)?, name.to_owned()))
            })
            .filter(|r| !matches!(r, Ok((_, name)) if name.is_empty()))
            .collect();
    }
    let kind = kind(first)?;
    if words.len() == 1 {
        return Err(Failure::usage(anyhow::anyhow!("which {first}? name one or more")));
    }
    Ok(words[1..].iter().map(|name| (kind, name.clone())).collect())
}

#[allow(clippy::print_stdout, reason = "what was deleted is the result of the command")]
async fn delete(
    args: &Args,
    client: &Client,
    kind: Kind,
    namespace: &str,
    name: &str,
) -> Result<(), Failure> {
    let target = path(kind, namespace, name);
    let reply = client.request(Method::DELETE, &target, "application/json", "application/json", Vec::new());
    let reply = reply.await.map_err(Failure::unreachable)?;
    if reply.code == 404 && args.ignore_not_found {
        return Ok(());
    }
    succeeded(reply)?;
    println!("{} {name} deleted", kind.info().kind.to_lowercase());
    Ok(())
}
