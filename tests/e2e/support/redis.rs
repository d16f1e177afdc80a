//! A Redis of the test's own.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use super::process::crypto;
use super::{free_port, until};

/// Password of a server with TLS.
pub const PASSWORD: &str = "PLANTED/REDIS@PASSWORD";

/// A Redis server without persistence, killed when dropped.
pub struct RedisServer {
    child: Child,
    port: u16,
    arguments: Vec<String>,
    certificates: Option<Certificates>,
}

impl RedisServer {
    pub async fn start() -> Self {
        Self::with(&[]).await
    }

    /// A server with these settings besides the usual ones.
    pub async fn with(arguments: &[&str]) -> Self {
        Self::launch(free_port(), arguments.iter().map(ToString::to_string).collect(), None).await
    }

    /// A server that speaks TLS only, and wants a certificate and a password.
    pub async fn with_tls(certificates: &Certificates) -> Self {
        let port = free_port();
        let mut arguments = vec!["--port".to_owned(), "0".to_owned(), "--tls-port".to_owned(), port.to_string()];
        let files = [
            ("--tls-ca-cert-file", &certificates.authority),
            ("--tls-cert-file", &certificates.server),
            ("--tls-key-file", &certificates.server_key),
        ];
        files.iter().for_each(|(name, path)| arguments.extend([(*name).to_owned(), path.display().to_string()]));
        arguments.extend(["--requirepass".to_owned(), PASSWORD.to_owned()]);
        Self::launch(port, arguments, Some(certificates.clone())).await
    }

    async fn launch(port: u16, arguments: Vec<String>, certificates: Option<Certificates>) -> Self {
        let server = Self { child: Self::spawn(port, &arguments), port, arguments, certificates };
        server.until_it_answers().await;
        server
    }

    fn spawn(port: u16, more: &[String]) -> Child {
        let number = port.to_string();
        // Dumps are not compressed, so that a test can search them.
        let arguments = ["--port", &number, "--bind", "127.0.0.1", "--save", "", "--maxmemory-policy", "noeviction"];
        let mut command = Command::new("redis-server");
        command.args(arguments).args(["--rdbcompression", "no"]).args(more).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().expect("redis-server is installed (tests/run installs it)")
    }

    async fn until_it_answers(&self) {
        until("Redis answers", async || self.ask::<String>(&["PING"]).await.map_err(|error| error.to_string())).await;
    }

    /// Ends it; what it held is gone.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Lets it hang: its connections stay open and nothing is answered. False lets it go on.
    pub fn freeze(&self, frozen: bool) {
        let signal = if frozen { "-STOP" } else { "-CONT" };
        let killed = Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap();
        assert!(killed.success());
    }

    /// Starts it again on the same port.
    pub async fn start_again(&mut self) {
        self.child = Self::spawn(self.port, &self.arguments);
        self.until_it_answers().await;
    }

    /// Of a server with TLS, without its password.
    pub fn tls_url(&self) -> String {
        format!("rediss://localhost:{}", self.port)
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub async fn command<T: redis::FromRedisValue>(&self, words: &[&str]) -> T {
        self.ask(words).await.unwrap()
    }

    /// Everything in it, keys and values, as one heap of bytes.
    pub async fn contents(&self) -> Vec<u8> {
        let keys: Vec<Vec<u8>> = self.command(&["KEYS", "*"]).await;
        let mut connection = self.connect().await.unwrap();
        let mut heap = Vec::new();
        for key in keys {
            let dump: Option<Vec<u8>> = redis::cmd("DUMP").arg(&key).query_async(&mut connection).await.unwrap();
            heap.extend(key);
            heap.extend(dump.unwrap_or_default());
        }
        heap
    }

    async fn ask<T: redis::FromRedisValue>(&self, words: &[&str]) -> redis::RedisResult<T> {
        let mut connection = self.connect().await?;
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]);
        command.query_async(&mut connection).await
    }

    async fn connect(&self) -> redis::RedisResult<redis::aio::MultiplexedConnection> {
        let Some(certificates) = &self.certificates else {
            return redis::Client::open(self.url())?.get_multiplexed_async_connection().await;
        };
        crypto();
        let read = |path: &Path| std::fs::read(path).unwrap();
        let client = redis::ClientTlsConfig {
            client_cert: read(&certificates.client),
            client_key: read(&certificates.client_key),
        };
        let certificates =
            redis::TlsCertificates { client_tls: Some(client), root_cert: Some(read(&certificates.authority)) };
        let password = PASSWORD.replace('/', "%2F").replace('@', "%40");
        let url = self.tls_url().replace("//", &format!("//:{password}@"));
        redis::Client::build_with_tls(url, certificates)?.get_multiplexed_async_connection().await
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Files of PEM: an authority, and what it signed for a server called localhost and for a client.
#[derive(Clone)]
pub struct Certificates {
    pub authority: PathBuf,
    pub server: PathBuf,
    pub server_key: PathBuf,
    pub client: PathBuf,
    pub client_key: PathBuf,
}

impl Certificates {
    /// Makes them in a directory.
    pub fn make(directory: &Path) -> Self {
        let write = |name: &str, text: String| {
            let path = directory.join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // Names that are all the same would make everybody their own signer.
        params.distinguished_name.push(DnType::CommonName, "authority of a test");
        let key = KeyPair::generate().unwrap();
        let authority = params.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(params, key);
        let signed = |name: &str| {
            let key = KeyPair::generate().unwrap();
            let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
            params.distinguished_name.push(DnType::CommonName, name);
            (params.signed_by(&key, &issuer).unwrap().pem(), key.serialize_pem())
        };
        let ((server, server_key), (client, client_key)) = (signed("localhost"), signed("client"));
        Self {
            authority: write("ca.pem", authority),
            server: write("server.pem", server),
            server_key: write("server.key", server_key),
            client: write("client.pem", client),
            client_key: write("client.key", client_key),
        }
    }
}
