//! A daemon without a terminal.
//!
//! Owns the start of the process that stays, and the wait until it is ready. Promises to return only when the daemon is ready, or to
//! tell why it is not, in the daemon's own words.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::Context;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::super::output::Output;
use crate::config::XNOVU_CONFIG;
use crate::control::routes::Status;
use crate::control::{Client, ControlError, Role, StateDir};

/// Longest wait for a daemon to become ready. Its plugins may have to be compiled first.
const READY_PATIENCE: Duration = Duration::from_secs(120);

/// Time between two looks at it.
const LOOK: Duration = Duration::from_millis(50);

/// Size at which a new start begins a new log; the one before it is kept.
const LOG_BYTES_MAX: u64 = 10 * 1024 * 1024;

/// Bytes of the log that a failed start shows.
const SHOWN_BYTES: u64 = 8 * 1024;

/// Starts a daemon with these options and this file of settings in that directory and waits until it is ready.
///
/// # Errors
/// One runs already; the process cannot be started; it is not ready in time, and goes on trying.
pub(super) async fn detach(
    state: &StateDir,
    directory: &Path,
    config: Option<&str>,
    options: &[String],
    output: Output,
) -> anyhow::Result<ExitCode> {
    if let Ok(found) = state.find(&Role::Daemon) {
        let dir = state.path().to_owned();
        return Err(ControlError::Running { role: found.role.word(), pid: found.pid, dir }.into());
    }
    state.create()?;
    let path = state.log(&Role::Daemon);
    let log = open_log(&path).with_context(|| format!("opening the log {}", path.display()))?;
    let began = log.metadata().map_or(0, |metadata| metadata.len());
    let mut child = spawn(state, directory, config, options, log)?;
    match until_ready(&mut child, state).await? {
        Ended::Ready => {
            if output.json() {
                output.document(&json!({"running": true, "pid": child.id(), "log": path}))?;
            }
            output.note(&format!("the daemon runs (pid {}); its log: {}", child.id(), path.display()));
            Ok(ExitCode::SUCCESS)
        }
        Ended::Dead(status) => {
            said_since(&path, began).lines().for_each(|line| output.note(&readable(line)));
            output.note(&format!("error: the daemon ended before it was ready ({status})"));
            let code = status.code().and_then(|code| u8::try_from(code).ok()).filter(|code| *code != 0);
            Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
        }
        Ended::Late(why) => {
            said_since(&path, began).lines().for_each(|line| output.note(&readable(line)));
            output.note(&format!(
                "error: the daemon (pid {}) runs and is not ready after {READY_PATIENCE:?}: {why}",
                child.id()
            ));
            output.note("  hint: it goes on trying; see `xnovu daemon status`, or end it with `xnovu daemon stop`");
            Ok(ExitCode::FAILURE)
        }
    }
}

fn open_log(path: &Path) -> std::io::Result<File> {
    if fs::metadata(path).is_ok_and(|metadata| metadata.len() > LOG_BYTES_MAX) {
        fs::rename(path, path.with_extension("log.1"))?;
    }
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

fn spawn(
    state: &StateDir,
    directory: &Path,
    config: Option<&str>,
    options: &[String],
    log: File,
) -> anyhow::Result<Child> {
    let program = std::env::current_exe().context("finding this program")?;
    let mut command = Command::new(program);
    command.args(["daemon", "start", "--detached"]).args(options).current_dir(directory);
    // The state directory may be relative to another directory. A service manager waits for its own child, not for this one.
    command.env("XNOVU_STATE_DIR", state.path()).env_remove("NOTIFY_SOCKET").env_remove("WATCHDOG_USEC");
    // What `--config` named is no option of the daemon's own.
    command.envs(config.map(|config| (XNOVU_CONFIG, config)));
    let errors = log.try_clone().context("opening the log twice")?;
    command.stdin(Stdio::null()).stdout(log).stderr(errors);
    command.spawn().context("starting the daemon")
}

enum Ended {
    Ready,
    Dead(ExitStatus),
    Late(String),
}

async fn until_ready(child: &mut Child, state: &StateDir) -> anyhow::Result<Ended> {
    let deadline = Instant::now() + READY_PATIENCE;
    loop {
        if let Some(status) = child.try_wait().context("looking at the daemon")? {
            return Ok(Ended::Dead(status));
        }
        let why = match readiness(child.id(), state).await {
            Ok(()) => return Ok(Ended::Ready),
            Err(why) => why,
        };
        if Instant::now() >= deadline {
            return Ok(Ended::Late(why));
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Ready is what the daemon itself calls ready. Otherwise: why it is not.
async fn readiness(pid: u32, state: &StateDir) -> Result<(), String> {
    let client = Client::of(state, &Role::Daemon).map_err(|_| "it opens its parts".to_owned())?;
    let status: Status = client.get("/admin/status").await.map_err(|_| "it opens its parts".to_owned())?;
    if status.started.pid != pid {
        return Err(format!("another daemon answers (pid {})", status.started.pid));
    }
    match client.text("/readyz").await {
        Ok((true, _)) => Ok(()),
        Ok((false, said)) => Err(said.trim().to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// A line of the log as a person reads it: level, message and what it says of reasons; others as they are.
fn readable(line: &str) -> String {
    let Ok(Value::Object(fields)) = serde_json::from_str(line) else { return line.to_owned() };
    let word = |name: &str| fields.get(name).and_then(Value::as_str);
    let (Some(level), Some(message)) = (word("level"), word("message")) else { return line.to_owned() };
    let mut readable = format!("{level}: {message}");
    for name in ["subject", "reason", "error"] {
        readable.extend(word(name).map(|text| format!(": {text}")));
    }
    readable.extend(word("hint").map(|hint| format!("\n  hint: {hint}")));
    readable
}

/// What the log has got since it had this length, or the end of it.
fn said_since(path: &Path, began: u64) -> String {
    let read = || {
        let mut log = File::open(path)?;
        let end = log.metadata()?.len();
        log.seek(SeekFrom::Start(began.max(end.saturating_sub(SHOWN_BYTES))))?;
        let mut said = Vec::new();
        log.read_to_end(&mut said)?;
        std::io::Result::Ok(said)
    };
    read()
        .map_or_else(|error| format!("{}: {error}", path.display()), |said| String::from_utf8_lossy(&said).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_log_is_shown_as_a_person_reads_it() {
        let line =
            r#"{"level":"error","timestamp":"t","message":"it cannot run","error":"no\n  hint: yes","target":"x"}"#;
        assert_eq!(readable(line), "error: it cannot run: no\n  hint: yes");
        let warning = r#"{"level":"warn","message":"m","subject":"plugin p","reason":"r","hint":"h"}"#;
        assert_eq!(readable(warning), "warn: m: plugin p: r\n  hint: h");
        for other in ["error: plain", "{}", "7"] {
            assert_eq!(readable(other), other);
        }
    }
}
