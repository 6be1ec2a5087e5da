//! TLS at the edge, as curl sees it from a pod without sidecar.

use std::fs;
use std::process::{Output, Stdio};
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, IsCa, Issuer, KeyIdMethod,
    KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber, date_time_ymd,
};

use crate::harness::{Mesh, Spec};
use crate::manifests::{client, documents, echo, injected_default, namespace, service};

/// An authority of the test.
pub struct Ca {
    issuer: Issuer<'static, KeyPair>,
    pub pem: String,
}

/// A certificate with its key, in PEM.
pub struct Pair {
    pub certificate: String,
    pub key: String,
}

impl Ca {
    pub fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    pub fn issue(&self, name: &str, serial: u64) -> Pair {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.serial_number = Some(serial.into());
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        Pair { certificate, key: key.serialize_pem() }
    }

    /// The list of revoked certificates.
    fn revoke(&self, serial: u64) -> String {
        let revoked = RevokedCertParams {
            serial_number: serial.into(),
            revocation_time: date_time_ymd(2020, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2020, 1, 1),
            next_update: date_time_ymd(4000, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: vec![revoked],
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.issuer).unwrap().pem().unwrap()
    }
}

/// A Secret beside the gateway.
fn secret(name: &str, values: &[(&str, &str)]) -> String {
    let mut yaml = format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}, namespace: istio-system}}\nstringData:\n"
    );
    for (key, pem) in values {
        yaml += &format!("  {key}: |\n");
        pem.lines().for_each(|line| yaml += &format!("    {}\n", line.trim_end()));
    }
    yaml
}

pub fn certificate_secret(name: &str, pair: &Pair) -> String {
    secret(name, &[("tls.crt", &pair.certificate), ("tls.key", &pair.key)])
}

const EDGE: &str = "\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge, namespace: default}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: 80, name: http, protocol: HTTP}, hosts: [simple.example.org], tls: {httpsRedirect: true}}
  - {port: {number: 443, name: simple, protocol: HTTPS}, hosts: [simple.example.org], tls: {mode: SIMPLE, credentialName: simple}}
  - {port: {number: 443, name: mutual, protocol: HTTPS}, hosts: [mutual.example.org], tls: {mode: MUTUAL, credentialName: mutual, caCertCredentialName: partners}}
  - {port: {number: 443, name: optional, protocol: HTTPS}, hosts: [optional.example.org], tls: {mode: OPTIONAL_MUTUAL, credentialName: optional}}
  - {port: {number: 443, name: old, protocol: HTTPS}, hosts: [old.example.org], tls: {mode: SIMPLE, credentialName: old, maxProtocolVersion: TLSV1_2, cipherSuites: [ECDHE-ECDSA-AES256-GCM-SHA384]}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: edge, namespace: default}
spec: {hosts: ['*.example.org'], gateways: [edge], http: [{route: [{destination: {host: echo}}]}]}
";

/// The gateway's Service.
const ADDRESS: &str = "istio-ingressgateway.istio-system.svc.cluster.local";

/// What a client needs: files, and the mesh.
struct Edge<'m> {
    mesh: &'m Mesh,
}

impl Edge<'_> {
    fn file(&self, name: &str) -> String {
        self.mesh.dir.path().join(name).to_str().unwrap().to_owned()
    }

    /// Runs curl in the pod without sidecar: arguments before `https://HOST.example.org/`.
    fn curl(&self, host: &str, args: &[&str]) -> std::process::Command {
        let (ca, to) = (self.file("ca.pem"), format!("::{ADDRESS}:443"));
        let mut all =
            vec!["curl", "-sS", "-o", "/dev/null", "-m", "20", "--cacert", &ca, "--connect-to", &to];
        all.extend(args);
        let url = format!("https://{host}.example.org/");
        all.push(&url);
        let mut command = self.mesh.exec("plain", "outsider", &all);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// What `--write-out` printed, or why there was no answer.
    fn said(&self, host: &str, args: &[&str], format: &str) -> Result<String, String> {
        let mut all = vec!["-w", format];
        all.extend(args);
        read(self.curl(host, &all).output().unwrap())
    }

    fn code(&self, host: &str, args: &[&str]) -> Result<String, String> {
        self.said(host, args, "%{http_code}")
    }

    /// The arguments that show a client certificate, which is written to files first.
    fn show(&self, name: &str, pair: &Pair) -> [String; 4] {
        let (certificate, key) = (self.file(&format!("{name}.crt")), self.file(&format!("{name}.key")));
        fs::write(&certificate, &pair.certificate).unwrap();
        fs::write(&key, &pair.key).unwrap();
        ["--cert".to_owned(), certificate, "--key".to_owned(), key]
    }

    fn code_with(&self, host: &str, client: &[String; 4]) -> Result<String, String> {
        self.code(host, &client.each_ref().map(String::as_str))
    }
}

fn read(output: Output) -> Result<String, String> {
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(said(&output.stdout)) } else { Err(said(&output.stderr)) }
}

fn ok(code: &str) -> Result<String, String> {
    Ok(code.to_owned())
}

#[test]
fn every_kind_of_tls_at_the_edge_and_credentials_that_change() {
    let (ours, partners, strangers) = (Ca::new("ours"), Ca::new("partners"), Ca::new("strangers"));
    let good = partners.issue("good.partner.org", 1);
    let stolen = partners.issue("stolen.partner.org", 2);
    let stranger = strangers.issue("good.partner.org", 3);
    let pair = |name: &str, serial| ours.issue(&format!("{name}.example.org"), serial);
    let with_ca = |name: &str| {
        let Pair { certificate, key } = pair(name, 12);
        secret(name, &[("tls.crt", &certificate), ("tls.key", &key), ("ca.crt", &partners.pem)])
    };
    let outsider = client("outsider", "outsider", "")
        .replace("metadata:\n  name:", "metadata:\n  namespace: plain\n  name:");
    let manifests = [
        (
            "base.yaml",
            documents(&[injected_default(), service("echo", "http"), namespace("plain", false), outsider]),
        ),
        ("echo.yaml", echo("echo", "v1")),
        ("edge.yaml", EDGE.to_owned()),
        ("simple.yaml", certificate_secret("simple", &pair("simple", 10))),
        (
            "mutual.yaml",
            documents(&[
                certificate_secret("mutual", &pair("mutual", 11)),
                secret("partners-cacert", &[("ca.crt", &partners.pem)]),
            ]),
        ),
        ("optional.yaml", documents(&[with_ca("optional"), certificate_secret("old", &pair("old", 13))])),
    ];
    let mesh = Mesh::start(&Spec { manifests: &manifests, ..Spec::default() });
    fs::write(mesh.dir.path().join("ca.pem"), &ours.pem).unwrap();
    let edge = Edge { mesh: &mesh };
    let (good, stolen, stranger) =
        (edge.show("good", &good), edge.show("stolen", &stolen), edge.show("stranger", &stranger));

    // SIMPLE, chosen by server name; a name that no server has ends the handshake.
    assert_eq!(edge.code("simple", &[]), ok("200"));
    edge.code("nobody", &[]).unwrap_err();
    let redirected = edge.mesh.exec(
        "plain",
        "outsider",
        &[
            "curl",
            "-sS",
            "-o",
            "/dev/null",
            "-w",
            "%{http_code} %{redirect_url}",
            "-H",
            "Host: simple.example.org",
            &format!("http://{ADDRESS}/a?b"),
        ],
    );
    let mut redirected = redirected;
    assert_eq!(read(redirected.output().unwrap()), ok("301 https://simple.example.org/a?b"));

    // MUTUAL, with the authorities in a Secret of their own.
    edge.code("mutual", &[]).unwrap_err();
    edge.code_with("mutual", &stranger).unwrap_err();
    assert_eq!(edge.code_with("mutual", &good), ok("200"));
    assert_eq!(edge.code_with("mutual", &stolen), ok("200"));
    mesh.write(
        "mutual.yaml",
        &documents(&[
            certificate_secret("mutual", &pair("mutual", 11)),
            secret("partners-cacert", &[("ca.crt", &partners.pem), ("ca.crl", &partners.revoke(2))]),
        ]),
    );
    mesh.eventually("the stolen certificate is refused", Duration::from_secs(10), || {
        edge.code_with("mutual", &stolen).is_err()
    });
    assert_eq!(edge.code_with("mutual", &good), ok("200"), "its neighbour is not on the list");

    // OPTIONAL_MUTUAL: without a certificate, or with one that holds.
    assert_eq!(edge.code("optional", &[]), ok("200"));
    assert_eq!(edge.code_with("optional", &good), ok("200"));
    edge.code_with("optional", &stranger).unwrap_err();

    // Versions and suites.
    assert_eq!(edge.code("old", &["--tls-max", "1.2"]), ok("200"));
    assert_eq!(
        edge.code("old", &["--tls-max", "1.2", "--ciphers", "ECDHE-ECDSA-AES256-GCM-SHA384"]),
        ok("200")
    );
    edge.code("old", &["--tlsv1.3"]).unwrap_err();
    edge.code("old", &["--tls-max", "1.2", "--ciphers", "ECDHE-ECDSA-AES128-GCM-SHA256"]).unwrap_err();

    // A credential changes under an open connection: eight requests on it, and the next one sees the new certificate.
    let url = "https://simple.example.org/";
    let serial =
        |edge: &Edge<'_>| edge.said("simple", &[], "%{certs}").map(|s| s.contains("Serial Number:14"));
    assert_eq!(serial(&edge), Ok(false));
    let mut args = vec!["--rate", "2/s", "--http1.1", "-w", "%{http_code} %{num_connects}\n"];
    for _ in 0..7 {
        args.extend([url, "-o", "/dev/null"]);
    }
    let open = edge.curl("simple", &args).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(700));
    mesh.write("simple.yaml", &certificate_secret("simple", &pair("simple", 0x14)));
    mesh.eventually("the new certificate is shown", Duration::from_secs(10), || serial(&edge) == Ok(true));
    let lines = read(open.wait_with_output().unwrap()).unwrap();
    let lines: Vec<&str> = lines.lines().collect();
    assert_eq!(lines.len(), 8);
    assert_eq!(lines[0], "200 1");
    assert!(lines[1..].iter().all(|l| *l == "200 0"), "all on the first connection: {lines:?}");
}
