//! `tulle ca`: certificates of the mesh, and rotation of their root.
//!
//! What is asked for is written as a ConfigMap into the control plane's namespace, with the rights of whoever asks; the answer is
//! another one.

mod show;

use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use http::Method;
use serde_json::{Value, json};
use tulle_api::Kind;
use tulle_apiserver::Client;

use super::resources::{Api, path, succeeded};
use crate::outcome::{Failure, Outcome};

/// ConfigMaps of the control plane.
const REQUEST: &str = "tulle-ca-request";
const STATUS: &str = "tulle-ca-status";
/// How long the control plane may take to answer.
const ANSWER: Duration = Duration::from_secs(30);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(200);

/// Certificates of the mesh: how they stand, rotation of their root, the bundle that others need to trust them.
///
/// Example: tulle ca status
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Status(Status),
    Rotate(Rotate),
    Export(Export),
}

/// Where the control plane is.
#[derive(Debug, clap::Args)]
struct Place {
    #[command(flatten)]
    api: Api,
    /// Namespace of the control plane.
    #[arg(long, value_name = "NS", default_value = "istio-system")]
    control_namespace: String,
}

/// Show roots, when certificates expire, and which root each proxy has one of. Exits with 1 while a rotation is held up.
///
/// Example: tulle ca status -o json
#[derive(Debug, clap::Args)]
struct Status {
    #[command(flatten)]
    place: Place,
    /// Output format: text or json.
    #[arg(short, long, value_name = "FORMAT", default_value = "text", value_parser = ["text", "json"])]
    output: String,
}

/// Rotate the root: add a new one to what everybody trusts, certify everybody with it, drop the old one. No connection fails by it.
///
/// Each step waits until every proxy has acknowledged the one before; a proxy that is away, or does not answer, holds it up and is
/// named. A rotation that is under way is gone on with, also after the control plane was killed. A self-signed root gets a new key; a
/// plugged-in one is replaced by the files next-*.pem beside it (docs/security.md).
///
/// Example: tulle ca rotate --timeout 10m
#[derive(Debug, clap::Args)]
struct Rotate {
    #[command(flatten)]
    place: Place,
    /// Take the next step, once, whoever it cuts off until it has come back and got a new certificate. They are named.
    #[arg(long, conflicts_with = "abort")]
    force: bool,
    /// Go back to the old root: at once while nothing is certified by the new one, else by the same steps the other way round.
    #[arg(long)]
    abort: bool,
    /// How long to wait for the end, such as 30s or 10m. Then it ends with 1, and the rotation stays where it is.
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = tulle_base::duration::parse)]
    timeout: Duration,
}

/// Write the roots of the mesh to stdout, for those who are to trust it.
///
/// Example: tulle ca export --format spiffe > bundle.json
#[derive(Debug, clap::Args)]
struct Export {
    #[command(flatten)]
    place: Place,
    /// pem, or spiffe for the JSON of SPIFFE bundles.
    #[arg(long, value_name = "FORMAT", default_value = "pem", value_parser = ["pem", "spiffe"])]
    format: String,
}

pub(crate) fn run(args: &Args) -> Outcome {
    match &args.command {
        Command::Status(args) => status(args),
        Command::Rotate(args) => rotate(args),
        Command::Export(args) => export(args),
    }
}

#[allow(clippy::print_stdout, reason = "the result of a command goes to stdout")]
fn status(args: &Status) -> Outcome {
    let asker = Asker::new(&args.place)?;
    let map = asker.ask("status", false)?;
    let status = status_of(&map)?;
    if args.output == "json" {
        println!("{status}");
    } else {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        print!("{}", show::text(&status, now));
    }
    let held_up = status["blockedBy"].as_array().is_some_and(|b| !b.is_empty());
    Ok(if held_up { ExitCode::from(1) } else { ExitCode::SUCCESS })
}

#[allow(clippy::print_stdout, reason = "the result of a command goes to stdout")]
fn export(args: &Export) -> Outcome {
    let asker = Asker::new(&args.place)?;
    let map = asker.ask("status", false)?;
    let key = if args.format == "pem" { "bundle.pem" } else { "bundle.json" };
    let bundle = map["data"][key].as_str();
    print!("{}", bundle.ok_or_else(|| Failure::not_so(anyhow::anyhow!("the control plane told no bundle")))?);
    Ok(ExitCode::SUCCESS)
}

#[allow(clippy::print_stdout, clippy::print_stderr, reason = "progress goes to stderr, the result to stdout")]
fn rotate(args: &Rotate) -> Outcome {
    let asker = Asker::new(&args.place)?;
    let give_up = Instant::now() + args.timeout;
    let mut map = asker.ask(if args.abort { "abort" } else { "rotate" }, args.force)?;
    let mut told = String::new();
    loop {
        let status = status_of(&map)?;
        if let Some(error) = status["error"].as_str() {
            return Err(Failure::not_so(anyhow::anyhow!("{error}")));
        }
        let line = show::progress(&status);
        if line != told {
            eprintln!("{line}");
            told = line;
        }
        if status["phase"] == "steady" {
            let root = status["roots"][0]["fingerprint"].as_str().unwrap_or_default();
            println!("root {root} is in force");
            return Ok(ExitCode::SUCCESS);
        }
        if Instant::now() >= give_up {
            let held_up = show::blockers(&status).join("\n  ");
            let advice = "the rotation stays where it is: run this again to go on, with --force to take the next step without them, \
                          or with --abort to go back";
            return Err(Failure::not_so(match held_up.is_empty() {
                true => anyhow::anyhow!("not done in time; {advice}"),
                false => anyhow::anyhow!("refused, because these would be cut off:\n  {held_up}\n{advice}"),
            }));
        }
        std::thread::sleep(PAUSE);
        map = asker.map()?.unwrap_or(map);
    }
}

fn status_of(map: &Value) -> Result<Value, Failure> {
    let text = map["data"]["status.json"].as_str().unwrap_or_default();
    serde_json::from_str(text).map_err(|e| Failure::not_so(anyhow::anyhow!("{STATUS} cannot be read: {e}")))
}

/// Asks the control plane.
struct Asker {
    runtime: tokio::runtime::Runtime,
    client: Client,
    namespace: String,
}

impl Asker {
    fn new(place: &Place) -> Result<Self, Failure> {
        let (runtime, client) = place.api.connect()?;
        Ok(Self { runtime, client, namespace: place.control_namespace.clone() })
    }

    /// Asks, and waits for the answer: the ConfigMap with the status.
    fn ask(&self, action: &str, force: bool) -> Result<Value, Failure> {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let id = format!("{:x}-{:x}", since.as_nanos(), std::process::id());
        let request = json!({"id": id, "action": action, "force": force}).to_string();
        let object = json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": REQUEST, "namespace": self.namespace},
            "data": {"request": request},
        });
        let user: String = std::env::var("USER").unwrap_or_default();
        let user: String = user.chars().filter(char::is_ascii_alphanumeric).take(64).collect();
        let manager = if user.is_empty() { "tulle-ca".to_owned() } else { format!("tulle-ca-{user}") };
        let place = path(Kind::ConfigMap, &self.namespace, REQUEST);
        let place = format!("{place}?fieldManager={manager}&force=true");
        let media = "application/apply-patch+yaml";
        let sent =
            self.client.request(Method::PATCH, &place, media, "application/json", object.to_string().into());
        succeeded(self.runtime.block_on(sent).map_err(Failure::unreachable)?)?;
        let give_up = Instant::now() + ANSWER;
        while Instant::now() < give_up {
            if let Some(map) = self.map()?
                && status_of(&map)?["answered"] == id.as_str()
            {
                return Ok(map);
            }
            std::thread::sleep(PAUSE);
        }
        Err(Failure::unreachable(anyhow::anyhow!(
            "the control plane in {} has not answered within {} s; is it running?",
            self.namespace,
            ANSWER.as_secs()
        )))
    }

    /// The ConfigMap with the status, if it is there.
    fn map(&self) -> Result<Option<Value>, Failure> {
        let place = path(Kind::ConfigMap, &self.namespace, STATUS);
        let json = "application/json";
        let asked = self.client.request(Method::GET, &place, json, json, Vec::new());
        let reply = self.runtime.block_on(asked).map_err(Failure::unreachable)?;
        if reply.code == 404 {
            return Ok(None);
        }
        succeeded(reply).map(Some)
    }
}
