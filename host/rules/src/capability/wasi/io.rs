//! Streams and polls: standard input is at its end, standard output becomes log lines, waiting for time traps.
//!
//! A handle's number says all there is to know about it, so there is no table of resources.

use wasmtime::bail;
use wasmtime::component::Resource;

use super::level;
use crate::bindings::subset::wasi::io::poll::Pollable;
use crate::bindings::subset::wasi::io::streams::{InputStream, OutputStream, StreamError};
use crate::bindings::subset::wasi::io::{error, poll, streams};
use crate::capability::log::Log;
use crate::instance::State;

/// Most bytes one write may bring.
const WRITE_BYTES_MAX: u64 = 64 * 1024;

/// A pollable that is ready.
const READY: u32 = 1;
/// A pollable of a time that never comes, because clocks stand.
const NEVER: u32 = 2;

/// Where a write goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stream {
    Out,
    Err,
}

impl Stream {
    pub(super) fn resource(self) -> Resource<OutputStream> {
        Resource::new_own(match self {
            Self::Out => 1,
            Self::Err => 2,
        })
    }

    fn of(resource: &Resource<OutputStream>) -> Self {
        if resource.rep() == 1 { Self::Out } else { Self::Err }
    }
}

pub(super) fn stdin() -> Resource<InputStream> {
    Resource::new_own(0)
}

/// The handle of a time: ready if it has come, never otherwise.
pub(super) fn pollable(has_come: bool) -> Resource<Pollable> {
    Resource::new_own(if has_come { READY } else { NEVER })
}

/// Lines of standard output and error that have not ended yet.
#[derive(Debug, Default)]
pub(crate) struct Stdio {
    out: Vec<u8>,
    err: Vec<u8>,
}

impl Stdio {
    fn write(&mut self, stream: Stream, mut bytes: &[u8], log: &mut Log) {
        let partial = match stream {
            Stream::Out => &mut self.out,
            Stream::Err => &mut self.err,
        };
        while log.has_room()
            && let Some(end) = bytes.iter().position(|byte| *byte == b'\n')
        {
            partial.extend_from_slice(&bytes[..end]);
            log.write(level(stream), &String::from_utf8_lossy(partial));
            partial.clear();
            bytes = &bytes[end + 1..];
        }
        // What the log has no room for is not worth its memory either.
        let room = log.bytes_left().saturating_sub(partial.len());
        partial.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    /// Ends the lines that were begun.
    pub(crate) fn finish(&mut self, log: &mut Log) {
        for (stream, partial) in [(Stream::Out, &mut self.out), (Stream::Err, &mut self.err)] {
            if !partial.is_empty() {
                log.write(level(stream), &String::from_utf8_lossy(partial));
                partial.clear();
            }
        }
    }
}

type Io<T> = wasmtime::Result<Result<T, StreamError>>;

impl streams::Host for State {}

impl streams::HostInputStream for State {
    fn read(&mut self, _stream: Resource<InputStream>, _len: u64) -> Io<Vec<u8>> {
        Ok(Err(StreamError::Closed))
    }

    fn blocking_read(&mut self, _stream: Resource<InputStream>, _len: u64) -> Io<Vec<u8>> {
        Ok(Err(StreamError::Closed))
    }

    fn skip(&mut self, _stream: Resource<InputStream>, _len: u64) -> Io<u64> {
        Ok(Err(StreamError::Closed))
    }

    fn blocking_skip(&mut self, _stream: Resource<InputStream>, _len: u64) -> Io<u64> {
        Ok(Err(StreamError::Closed))
    }

    fn subscribe(&mut self, _stream: Resource<InputStream>) -> wasmtime::Result<Resource<Pollable>> {
        Ok(pollable(true))
    }

    fn drop(&mut self, _stream: Resource<InputStream>) -> wasmtime::Result<()> {
        Ok(())
    }
}

impl streams::HostOutputStream for State {
    fn check_write(&mut self, _stream: Resource<OutputStream>) -> Io<u64> {
        Ok(Ok(WRITE_BYTES_MAX))
    }

    fn write(&mut self, stream: Resource<OutputStream>, contents: Vec<u8>) -> Io<()> {
        self.stdio.write(Stream::of(&stream), &contents, &mut self.log);
        Ok(Ok(()))
    }

    fn blocking_write_and_flush(&mut self, stream: Resource<OutputStream>, contents: Vec<u8>) -> Io<()> {
        streams::HostOutputStream::write(self, stream, contents)
    }

    fn flush(&mut self, _stream: Resource<OutputStream>) -> Io<()> {
        Ok(Ok(()))
    }

    fn blocking_flush(&mut self, _stream: Resource<OutputStream>) -> Io<()> {
        Ok(Ok(()))
    }

    fn subscribe(&mut self, _stream: Resource<OutputStream>) -> wasmtime::Result<Resource<Pollable>> {
        Ok(pollable(true))
    }

    fn write_zeroes(&mut self, _stream: Resource<OutputStream>, _len: u64) -> Io<()> {
        Ok(Ok(()))
    }

    fn blocking_write_zeroes_and_flush(&mut self, _stream: Resource<OutputStream>, _len: u64) -> Io<()> {
        Ok(Ok(()))
    }

    fn splice(&mut self, _to: Resource<OutputStream>, _from: Resource<InputStream>, _len: u64) -> Io<u64> {
        Ok(Err(StreamError::Closed))
    }

    fn blocking_splice(&mut self, _to: Resource<OutputStream>, _from: Resource<InputStream>, _len: u64) -> Io<u64> {
        Ok(Err(StreamError::Closed))
    }

    fn drop(&mut self, _stream: Resource<OutputStream>) -> wasmtime::Result<()> {
        Ok(())
    }
}

impl poll::Host for State {
    fn poll(&mut self, pollables: Vec<Resource<Pollable>>) -> wasmtime::Result<Vec<u32>> {
        let ready: Vec<u32> = (0_u32..).zip(&pollables).filter(|(_, it)| it.rep() == READY).map(|(at, _)| at).collect();
        if ready.is_empty() {
            bail!("it waits for a clock, and clocks stand while a rule decides");
        }
        Ok(ready)
    }
}

impl poll::HostPollable for State {
    fn ready(&mut self, pollable: Resource<Pollable>) -> wasmtime::Result<bool> {
        Ok(pollable.rep() == READY)
    }

    fn block(&mut self, pollable: Resource<Pollable>) -> wasmtime::Result<()> {
        poll::Host::poll(self, vec![pollable]).map(drop)
    }

    fn drop(&mut self, _pollable: Resource<Pollable>) -> wasmtime::Result<()> {
        Ok(())
    }
}

impl error::Host for State {}

impl error::HostError for State {
    fn to_debug_string(&mut self, _error: Resource<error::Error>) -> wasmtime::Result<String> {
        Ok("closed".to_owned())
    }

    fn drop(&mut self, _error: Resource<error::Error>) -> wasmtime::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Limits, LogLevel};

    fn write(chunks: &[(Stream, &str)], log_bytes: u64) -> Vec<(LogLevel, String)> {
        let mut log = Log::new(&Limits { log_bytes, ..Limits::default() }, true);
        let mut stdio = Stdio::default();
        for (stream, text) in chunks {
            stdio.write(*stream, text.as_bytes(), &mut log);
        }
        stdio.finish(&mut log);
        log.into_lines().into_iter().map(|line| (line.level, line.text)).collect()
    }

    #[test]
    fn lines_are_put_together_from_pieces_of_each_stream() {
        let lines = write(&[(Stream::Out, "a"), (Stream::Err, "x\ny"), (Stream::Out, "b\nc\n")], 100);
        let want = [(LogLevel::Warn, "x"), (LogLevel::Info, "ab"), (LogLevel::Info, "c"), (LogLevel::Warn, "y")];
        assert_eq!(lines, want.map(|(level, text)| (level, text.to_owned())));
    }

    #[test]
    fn a_flood_keeps_no_more_than_the_log_has_room_for() {
        let mut log = Log::new(&Limits { log_bytes: 10, ..Limits::default() }, true);
        let mut stdio = Stdio::default();
        for _ in 0..1000 {
            stdio.write(Stream::Out, &[b'x'; 100], &mut log);
        }
        assert_eq!(stdio.out.len(), 10);
    }
}
