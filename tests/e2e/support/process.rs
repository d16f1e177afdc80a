//! The program as its users start it.
//!
//! Promises that whatever any process of any test says is searched for what it must never say.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use serde_json::Value;

use super::{NOVU_KEY, SUPABASE_KEY, until};

/// What stands in rows, settings and mouths of rules for the sake of this search, and how every recipient of the tests begins.
const PLANTED: [&str; 5] = ["planted-", "PLANTED", "5ec4e700", SUPABASE_KEY, NOVU_KEY];

/// Bytes around what was found that a failed search shows.
const AROUND_BYTES: usize = 300;

/// Bytes of a process's output that a failed test shows.
const SHOWN_BYTES: usize = 8_000;

/// A command that has ended.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    /// The document it has written.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Asserts that it succeeded.
    pub fn succeeded(self) -> Self {
        assert_eq!(self.code, Some(0), "{self:?}");
        self
    }
}

/// Runs a command to its end.
pub async fn run(arguments: &[&str], dir: &Path, environment: &[(&'static str, String)]) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xnovu"));
    command.args(arguments).current_dir(dir).env_clear().envs(environment.iter().map(|(name, value)| (name, value)));
    command.stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let ran = Ran { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) };
    search(&format!("what `xnovu {}` says", arguments.join(" ")), ran.stdout.as_bytes());
    search(&format!("what `xnovu {}` notes", arguments.join(" ")), ran.stderr.as_bytes());
    ran
}

/// Asserts that nothing planted stands there.
pub fn search(place: &str, bytes: &[u8]) {
    for planted in PLANTED {
        let Some(at) = bytes.windows(planted.len()).position(|window| window == planted.as_bytes()) else { continue };
        let around = &bytes[at.saturating_sub(AROUND_BYTES)..bytes.len().min(at + AROUND_BYTES)];
        panic!("{planted} stands in {place}: {}", String::from_utf8_lossy(around));
    }
}

/// A process of `xnovu` with all it says, killed when dropped.
pub struct Xnovu {
    name: &'static str,
    child: Child,
    output: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
    health_port: Option<u16>,
}

impl Xnovu {
    /// Starts it with these variables and no others.
    pub fn start(
        name: &'static str,
        arguments: &[&str],
        dir: &Path,
        environment: &[(&'static str, String)],
        health_port: Option<u16>,
    ) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xnovu"));
        command
            .args(arguments)
            .current_dir(dir)
            .env_clear()
            .envs(environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let output = Arc::default();
        let stdout = keep(child.stdout.take().unwrap(), &output);
        let stderr = keep(child.stderr.take().unwrap(), &output);
        Self { name, child, output, readers: vec![stdout, stderr], health_port }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it as a power cut would.
    pub fn kill(mut self) -> String {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.all_output()
    }

    /// Asks it to stop, as a supervisor does.
    pub fn ask_to_stop(&self) {
        let killed = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(killed.success());
    }

    /// Asks it to stop and waits for that; answers all it has said.
    pub async fn stop(self) -> String {
        self.ask_to_stop();
        let (status, output) = self.ended().await;
        assert!(status.success(), "{status}: {output}");
        output
    }

    /// Waits for its end.
    pub async fn ended(mut self) -> (ExitStatus, String) {
        let what = format!("the {} ends", self.name);
        let status = until(&what, async || self.child.try_wait().unwrap().ok_or_else(|| self.tail())).await;
        (status, self.all_output())
    }

    /// What `/health/detailed` says, once the process serves it.
    pub async fn health(&self) -> Value {
        until(&format!("the {} tells its health", self.name), async || {
            self.ask_health().await.map_err(|error| error.to_string())
        })
        .await
    }

    /// What `/metrics` says.
    pub async fn metrics(&self) -> String {
        let port = self.health_port.expect("only a daemon serves its metrics here");
        crypto();
        let url = format!("http://127.0.0.1:{port}/metrics");
        until(&format!("the {} tells its metrics", self.name), async || {
            let response = reqwest::get(&url).await.map_err(|error| error.to_string())?;
            response.text().await.map_err(|error| error.to_string())
        })
        .await
    }

    async fn ask_health(&self) -> Result<Value, reqwest::Error> {
        self.ask(reqwest::Method::GET, "/health/detailed").await?.json().await
    }

    /// What it answers to one request, once: the code and the body.
    pub async fn get(&self, path: &str) -> Result<(u16, String), reqwest::Error> {
        let response = self.ask(reqwest::Method::GET, path).await?;
        Ok((response.status().as_u16(), response.text().await?))
    }

    /// One request to where it serves its health.
    pub async fn ask(&self, method: reqwest::Method, path: &str) -> Result<reqwest::Response, reqwest::Error> {
        let port = self.health_port.expect("the process serves its health");
        crypto();
        reqwest::Client::new().request(method, format!("http://127.0.0.1:{port}{path}")).send().await
    }

    /// Waits until every enterprise is subscribed.
    pub async fn until_subscribed(&self) {
        until("every enterprise is subscribed", async || {
            let subscriptions = &self.health().await["components"]["subscriptions"];
            if subscriptions["total"] == subscriptions["active"] { Ok(()) } else { Err(subscriptions.to_string()) }
        })
        .await;
    }

    /// Waits until that many jobs wait, none is under way, and so on, as the daemon's health counts them.
    pub async fn until_queue(&self, counts: &[(&str, usize)]) {
        until(&format!("the queue counts {counts:?}"), async || {
            let stats = self.health().await["queue_stats"]["notification"].clone();
            if counts.iter().all(|(name, count)| stats[name] == *count) { Ok(()) } else { Err(stats.to_string()) }
        })
        .await;
    }

    /// Waits until a round of the sweep that began after this call has ended.
    pub async fn until_swept_again(&self) {
        let rounds = async || self.health().await["sweeps"]["owed"]["rounds"].as_u64().unwrap_or_default();
        // The round under way may have begun before.
        let wanted = rounds().await + 2;
        until(&format!("{wanted} rounds of the sweep have ended"), async || {
            let ended = rounds().await;
            if ended >= wanted { Ok(()) } else { Err(format!("{ended} rounds")) }
        })
        .await;
    }

    /// Waits until it has said this so many times.
    pub async fn until_said(&self, text: &str, times: usize) {
        until(&format!("the {} says {text:?} {times} times", self.name), async || {
            let said = self.output.lock().unwrap().matches(text).count();
            if said >= times { Ok(()) } else { Err(self.tail()) }
        })
        .await;
    }

    fn all_output(&mut self) -> String {
        for reader in self.readers.drain(..) {
            reader.join().unwrap();
        }
        self.output.lock().unwrap().clone()
    }

    fn tail(&self) -> String {
        let output = self.output.lock().unwrap();
        let start = output.ceil_char_boundary(output.len().saturating_sub(SHOWN_BYTES));
        output[start..].to_owned()
    }
}

impl Drop for Xnovu {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- {} said:\n{}", self.name, self.tail());
        } else {
            // However a test ended it.
            search(&format!("what the {} said", self.name), self.output.lock().unwrap().as_bytes());
        }
    }
}

/// Appends all that a pipe brings, until its other end is closed.
fn keep(pipe: impl Read + Send + 'static, output: &Arc<Mutex<String>>) -> JoinHandle<()> {
    let output = Arc::clone(output);
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            let mut output = output.lock().unwrap();
            output.push_str(&line);
            output.push('\n');
        }
    })
}

/// The HTTP client wants to know its cryptography even where there is none.
pub fn crypto() {
    // Another test may have been first.
    let _ = rustls::crypto::ring::default_provider().install_default();
}
