//! Streams and polls that never wait: what the library would wait for traps at once.
//!
//! The library has an asynchronous form of each function that may wait, and a synchronous one that hands it to an async runtime. Here
//! the former is asked once, without a runtime: the streams and moments of an evaluation are ready or never will be.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use wasmtime::bail;
use wasmtime::component::{HasData, Resource, ResourceTable};
use wasmtime_wasi::p2::bindings::sync::io::poll::{self, HostPollable};
use wasmtime_wasi::p2::bindings::sync::io::streams::{self, HostInputStream, HostOutputStream};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, DynPollable, StreamError, StreamResult};
use wasmtime_wasi_io::bindings::wasi::io::poll as waiting_poll;
use wasmtime_wasi_io::bindings::wasi::io::streams as waiting;

type Input = Resource<DynInputStream>;
type Output = Resource<DynOutputStream>;
type Polled = Resource<DynPollable>;

/// For a linker: an interface that works on the table alone.
pub(super) struct Table;

impl HasData for Table {
    type Data<'a> = &'a mut ResourceTable;
}

/// For a linker: an interface with [`AtOnce`] behind it.
pub(super) struct Io;

impl HasData for Io {
    type Data<'a> = AtOnce<'a>;
}

/// The library's streams and polls, none of which waits.
pub(super) struct AtOnce<'a>(pub(super) &'a mut ResourceTable);

/// What a future has to say at once.
fn at_once<T>(future: impl Future<Output = T>) -> wasmtime::Result<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => Ok(done),
        Poll::Pending => bail!("it waits for a clock, and clocks stand while a rule decides"),
    }
}

/// As [`at_once`], for functions of streams.
fn streamed<T>(future: impl Future<Output = StreamResult<T>>) -> StreamResult<T> {
    at_once(future).map_err(StreamError::Trap)?
}

impl poll::Host for AtOnce<'_> {
    fn poll(&mut self, pollables: Vec<Polled>) -> wasmtime::Result<Vec<u32>> {
        at_once(waiting_poll::Host::poll(self.0, pollables))?
    }
}

impl HostPollable for AtOnce<'_> {
    fn ready(&mut self, pollable: Polled) -> wasmtime::Result<bool> {
        at_once(waiting_poll::HostPollable::ready(self.0, pollable))?
    }

    fn block(&mut self, pollable: Polled) -> wasmtime::Result<()> {
        at_once(waiting_poll::HostPollable::block(self.0, pollable))?
    }

    fn drop(&mut self, pollable: Polled) -> wasmtime::Result<()> {
        HostPollable::drop(self.0, pollable)
    }
}

impl streams::Host for AtOnce<'_> {
    fn convert_stream_error(&mut self, error: StreamError) -> wasmtime::Result<streams::StreamError> {
        streams::Host::convert_stream_error(self.0, error)
    }
}

impl HostInputStream for AtOnce<'_> {
    fn read(&mut self, stream: Input, len: u64) -> StreamResult<Vec<u8>> {
        HostInputStream::read(self.0, stream, len)
    }

    fn blocking_read(&mut self, stream: Input, len: u64) -> StreamResult<Vec<u8>> {
        streamed(waiting::HostInputStream::blocking_read(self.0, stream, len))
    }

    fn skip(&mut self, stream: Input, len: u64) -> StreamResult<u64> {
        HostInputStream::skip(self.0, stream, len)
    }

    fn blocking_skip(&mut self, stream: Input, len: u64) -> StreamResult<u64> {
        streamed(waiting::HostInputStream::blocking_skip(self.0, stream, len))
    }

    fn subscribe(&mut self, stream: Input) -> wasmtime::Result<Polled> {
        HostInputStream::subscribe(self.0, stream)
    }

    fn drop(&mut self, stream: Input) -> wasmtime::Result<()> {
        at_once(waiting::HostInputStream::drop(self.0, stream))?
    }
}

impl HostOutputStream for AtOnce<'_> {
    fn check_write(&mut self, stream: Output) -> StreamResult<u64> {
        HostOutputStream::check_write(self.0, stream)
    }

    fn write(&mut self, stream: Output, contents: Vec<u8>) -> StreamResult<()> {
        HostOutputStream::write(self.0, stream, contents)
    }

    fn blocking_write_and_flush(&mut self, stream: Output, contents: Vec<u8>) -> StreamResult<()> {
        streamed(waiting::HostOutputStream::blocking_write_and_flush(self.0, stream, contents))
    }

    fn flush(&mut self, stream: Output) -> StreamResult<()> {
        HostOutputStream::flush(self.0, stream)
    }

    fn blocking_flush(&mut self, stream: Output) -> StreamResult<()> {
        streamed(waiting::HostOutputStream::blocking_flush(self.0, stream))
    }

    fn subscribe(&mut self, stream: Output) -> wasmtime::Result<Polled> {
        HostOutputStream::subscribe(self.0, stream)
    }

    fn write_zeroes(&mut self, stream: Output, len: u64) -> StreamResult<()> {
        HostOutputStream::write_zeroes(self.0, stream, len)
    }

    fn blocking_write_zeroes_and_flush(&mut self, stream: Output, len: u64) -> StreamResult<()> {
        streamed(waiting::HostOutputStream::blocking_write_zeroes_and_flush(self.0, stream, len))
    }

    fn splice(&mut self, to: Output, from: Input, len: u64) -> StreamResult<u64> {
        HostOutputStream::splice(self.0, to, from, len)
    }

    fn blocking_splice(&mut self, to: Output, from: Input, len: u64) -> StreamResult<u64> {
        streamed(waiting::HostOutputStream::blocking_splice(self.0, to, from, len))
    }

    fn drop(&mut self, stream: Output) -> wasmtime::Result<()> {
        at_once(waiting::HostOutputStream::drop(self.0, stream))?
    }
}
