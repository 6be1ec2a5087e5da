//! Fetches a URL with curl's most used options; what stands for the image `curlimages/curl`.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use tokio::signal::unix::{SignalKind, signal};

use crate::LabError;
use crate::client::{ClientError, Target};

/// Options of `tulle lab curl`, spelled as curl's.
#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true)]
pub struct Args {
    /// What to fetch; without it the program waits until it is stopped, so that a pod can be entered.
    url: Option<String>,
    /// No progress (there is none).
    #[arg(short, long)]
    silent: bool,
    /// Errors even with --silent (they are always shown).
    #[arg(short = 'S', long)]
    show_error: bool,
    /// Fail with exit code 22 on a status of 400 or more.
    #[arg(short, long)]
    fail: bool,
    /// The answer's head before its body.
    #[arg(short, long)]
    include: bool,
    /// Where the body goes; stdout if absent.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Written after the answer; `%{http_code}` and `\n` are understood.
    #[arg(short, long, value_name = "FORMAT")]
    write_out: Option<String>,
    /// A header, `Name: value`; may be repeated.
    #[arg(short = 'H', long, value_name = "HEADER")]
    header: Vec<String>,
    /// Method; GET, or POST with --data.
    #[arg(short = 'X', long, value_name = "METHOD")]
    request: Option<Method>,
    /// Body.
    #[arg(short, long, value_name = "DATA")]
    data: Option<String>,
    /// User agent.
    #[arg(short = 'A', long, value_name = "NAME", default_value = "curl/8.0 (tulle)")]
    user_agent: String,
    /// Seconds until it gives up.
    #[arg(short, long, value_name = "SECONDS", default_value_t = 30.0)]
    max_time: f64,
}

/// curl's exit codes that scripts look at: bad URL, no connection, status of 400 or more with --fail, timeout, broken answer.
const BAD_URL: u8 = 3;
const NO_CONNECTION: u8 = 7;
const BAD_STATUS: u8 = 22;
const TIMED_OUT: u8 = 28;
const BROKEN: u8 = 56;

pub(crate) async fn run(args: Args) -> Result<ExitCode, LabError> {
    let Some(url) = &args.url else {
        wait_for_end().await;
        return Ok(ExitCode::SUCCESS);
    };
    match fetch(url, &args).await {
        Ok(code) => Ok(code),
        Err(error) => {
            let code = match &error {
                ClientError::Url { .. } => BAD_URL,
                ClientError::Connect { .. } => NO_CONNECTION,
                ClientError::Timeout { .. } => TIMED_OUT,
                ClientError::Exchange { .. } => BROKEN,
            };
            let _ = std::io::stderr().write_all(format!("curl: ({code}) {error}\n").as_bytes());
            Ok(ExitCode::from(code))
        }
    }
}

async fn wait_for_end() {
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return std::future::pending().await;
    };
    tokio::select! { _ = terminate.recv() => (), _ = interrupt.recv() => () }
}

async fn fetch(url: &str, args: &Args) -> Result<ExitCode, ClientError> {
    let target = Target::parse(url)?;
    let headers = request_headers(url, args)?;
    let body = args.data.clone().map(Bytes::from);
    let default = if body.is_some() { Method::POST } else { Method::GET };
    let method = args.request.clone().unwrap_or(default);
    let limit = Duration::from_secs_f64(args.max_time.clamp(0.001, 86_400.0));
    let work = async {
        let mut sender = target.connect().await?;
        let request = target.request(method, &headers, body.unwrap_or_default());
        target.exchange_over(&mut sender, request).await
    };
    let timeout = |_| ClientError::Timeout { authority: target.authority.clone(), limit };
    let answer = tokio::time::timeout(limit, work).await.map_err(timeout)??;

    let failed = args.fail && answer.status().as_u16() >= 400;
    let mut out = Vec::new();
    if args.include {
        out.extend_from_slice(format!("{:?} {}\r\n", answer.version(), answer.status()).as_bytes());
        for (name, value) in answer.headers() {
            out.extend_from_slice(
                format!("{name}: {}\r\n", String::from_utf8_lossy(value.as_bytes())).as_bytes(),
            );
        }
        out.extend_from_slice(b"\r\n");
    }
    let mut stdout = std::io::stdout();
    let wrong = |e: std::io::Error| ClientError::Url { url: url.to_owned(), reason: format!("output: {e}") };
    match &args.output {
        Some(path) => std::fs::write(path, answer.body()).map_err(wrong)?,
        None if failed => {}
        None => out.extend_from_slice(answer.body()),
    }
    if let Some(format) = &args.write_out {
        let text = format.replace("%{http_code}", answer.status().as_str()).replace("\\n", "\n");
        out.extend_from_slice(text.as_bytes());
    }
    stdout.write_all(&out).map_err(wrong)?;
    stdout.flush().map_err(wrong)?;
    Ok(if failed { ExitCode::from(BAD_STATUS) } else { ExitCode::SUCCESS })
}

fn request_headers(url: &str, args: &Args) -> Result<HeaderMap, ClientError> {
    let mut headers = HeaderMap::new();
    if let Ok(agent) = HeaderValue::from_str(&args.user_agent) {
        headers.insert(header::USER_AGENT, agent);
    }
    headers.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
    for line in &args.header {
        let parsed = line.split_once(':').and_then(|(name, value)| {
            let name = HeaderName::from_bytes(name.trim().as_bytes()).ok()?;
            Some((name, HeaderValue::from_str(value.trim()).ok()?))
        });
        let (name, value) = parsed.ok_or_else(|| ClientError::Url {
            url: url.to_owned(),
            reason: format!("-H {line:?} is no header; write 'Name: value'"),
        })?;
        headers.insert(name, value);
    }
    Ok(headers)
}
