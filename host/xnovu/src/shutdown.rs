//! When to stop.
//!
//! Owns the signals, and the end of a supervisor's line. The first SIGTERM or SIGINT asks for an orderly stop; the second ends the process at
//! once.

use std::io;
use std::os::fd::AsFd;

use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Cancels `stop` at the first signal and returns at the second.
///
/// # Errors
/// The signals cannot be listened to.
pub async fn listen(stop: CancellationToken) -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    for _ in 0..2 {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        stop.cancel();
    }
    Ok(())
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
