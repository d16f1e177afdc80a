//! When to stop.
//!
//! Owns the signals, and the end of a supervisor's line. A SIGTERM or SIGINT asks for an orderly stop; one that comes while the process
//! stops already, whoever asked for that, ends it at once.

use std::io;
use std::os::fd::AsFd;

use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Cancels `stop` at the first signal and returns at one that finds it cancelled.
///
/// # Errors
/// The signals cannot be listened to.
pub async fn listen(stop: CancellationToken) -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    loop {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        if stop.is_cancelled() {
            return Ok(());
        }
        stop.cancel();
    }
}

/// Returns when standard input, a pipe that the supervisor holds, is closed: it lets this process drain, or is dead.
///
/// # Errors
/// Standard input is no pipe.
pub async fn line_closed() -> io::Result<()> {
    let mut line = Receiver::from_owned_fd(io::stdin().as_fd().try_clone_to_owned()?)?;
    let mut said = [0; 64];
    while line.read(&mut said).await? > 0 {}
    Ok(())
}
