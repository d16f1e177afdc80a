//! Compiled components on disk, so that a restart does not compile again.
//!
//! Owns the only `unsafe` of the crate: a compiled component is machine code, and running a forged one is running anything. Hence
//! nothing is loaded that this host did not write itself. Each file begins with an HMAC-SHA256, under a key that never leaves this
//! machine, over the digest of the component, the engine it was compiled for and the code; the name alone proves nothing. Directory
//! 0700, key 0600, files written beside and renamed. A file is read whole and verified in memory, and what runs is a private copy, so
//! that nothing which happens to it afterwards matters. Whatever is wrong with a file, the component is compiled anew.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use hmac::{Hmac, KeyInit, Mac};
use rustix::process::{Resource, Rlimit, geteuid, getrlimit, setrlimit};
use sha2::Sha256;
use wasmtime::component::Component;

use crate::compile::{Code, CompileError, CompileLimits};
use crate::engine::Engine;
use crate::{Digest, plain_file, private_file};

/// Name of the key file, beside the cache directory.
const KEY_FILE: &str = "artifact.key";

/// Name of the file, in the cache directory, whose lock is the turn to compile.
const LOCK_FILE: &str = "compile.lock";

/// How often it is tried to get the turn.
const TURN_LOOK: Duration = Duration::from_millis(20);

/// What the HMAC covers first, so that the key is of no use for anything else.
const DOMAIN: &[u8] = b"xnovu compiled component 1";

/// The same for what is remembered of components that do not compile.
const REFUSED: &[u8] = b"xnovu refused component 1";

const KEY_BYTES: usize = 32;
const MAC_BYTES: usize = 32;

/// The cache directory and the key to it.
pub(crate) struct Artifacts {
    dir: PathBuf,
    key: [u8; KEY_BYTES],
}

impl Artifacts {
    /// Opens or creates the directory, and the key in its parent.
    ///
    /// # Errors
    /// Neither can be read or created.
    pub(crate) fn open(dir: &Path) -> io::Result<Self> {
        private_file::create_dir(dir)?;
        raise_file_limit();
        let parent = dir.parent().unwrap_or(Path::new("."));
        private_file::demand_no_strangers(parent)?;
        let key = open_key(&parent.join(KEY_FILE))?;
        Ok(Self { dir: dir.to_owned(), key })
    }

    /// A component from the cache, if its code can be trusted. Then the component itself was checked before it was compiled.
    pub(crate) fn find(&self, engine: &Engine, digest: Digest) -> Option<Component> {
        let path = self.path(engine, digest);
        let file = fs::read(&path).ok()?;
        let found = self.verify(engine, digest, &file).and_then(|code| self.deserialize(engine, &code).ok());
        if found.is_none() {
            tracing::warn!(path = %path.display(), "a compiled component is not as this host left it; compiling it again");
        }
        found
    }

    /// A component from code that was compiled just now.
    ///
    /// # Errors
    /// It needs more of the pool than a component may.
    pub(crate) fn adopt(&self, engine: &Engine, code: &Code) -> wasmtime::Result<Component> {
        self.deserialize(engine, &Trusted(code.bytes()))
    }

    /// Keeps the code of a component that passed every check. A cache that cannot be written is no failure; it is reported here.
    pub(crate) fn keep(&self, engine: &Engine, digest: Digest, code: &Code) {
        let path = self.path(engine, digest);
        let mac = self.mac(DOMAIN, engine, digest, code.bytes()).finalize().into_bytes();
        if let Err(error) = private_file::replace(&path, &[mac.as_slice(), code.bytes()]) {
            tracing::warn!(path = %path.display(), %error, "a compiled component could not be kept");
        }
    }

    /// Whether code of a component lies there, or why there is none. Neither has been verified.
    pub(crate) fn has(&self, engine: &Engine, digest: Digest) -> bool {
        self.path(engine, digest).exists() || self.refusal_path(engine, digest).exists()
    }

    /// Why a component was not compiled within these limits, as far as this host remembers.
    pub(crate) fn refusal(&self, engine: &Engine, digest: Digest, limits: CompileLimits) -> Option<CompileError> {
        let file = fs::read(self.refusal_path(engine, digest)).ok()?;
        let (mac, text) = file.split_at_checked(MAC_BYTES)?;
        self.mac(REFUSED, engine, digest, text).verify_slice(mac).ok()?;
        let (within, why): (CompileLimits, CompileError) = serde_json::from_slice(text).ok()?;
        (within == limits).then_some(why)
    }

    /// Remembers that: what compiles long and in vain must not do so at every start of every process.
    pub(crate) fn keep_refusal(&self, engine: &Engine, digest: Digest, limits: CompileLimits, why: &CompileError) {
        let path = self.refusal_path(engine, digest);
        let kept = serde_json::to_vec(&(limits, why)).map_err(io::Error::from).and_then(|text| {
            let mac = self.mac(REFUSED, engine, digest, &text).finalize().into_bytes();
            private_file::replace(&path, &[mac.as_slice(), &text])
        });
        if let Err(error) = kept {
            tracing::warn!(path = %path.display(), %error, "that a component does not compile could not be remembered");
        }
    }

    /// Waits for the turn to compile, at most so long. Of all processes with this cache one compiles at a time, so that together they take no more
    /// memory than one, and so that what two of them need is compiled once. None: there is no such file system, or
    /// another process keeps the turn for longer than compiling takes, as one that was stopped does; then each for itself.
    pub(crate) fn turn(&self, wait: Duration) -> Option<Turn> {
        let path = self.dir.join(LOCK_FILE);
        let file = File::options().create(true).append(true).mode(0o600).open(&path);
        match file.and_then(|file| lock_within(&file, wait).map(|()| file)) {
            Ok(file) => Some(Turn(file)),
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "no lock can be had; several processes may compile at once");
                None
            }
        }
    }

    /// Removes the code of every component that is none of these, and of every engine that is not this one.
    pub(crate) fn retain(&self, engine: &Engine, keep: impl Fn(Digest) -> bool) -> io::Result<()> {
        let engine_hash = engine.artifact_hash().to_string();
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            let name = entry.file_name();
            let Some(stem) =
                name.to_str().and_then(|name| name.strip_suffix(".cwasm").or_else(|| name.strip_suffix(".refused")))
            else {
                continue;
            };
            let wanted = stem
                .split_once('-')
                .is_some_and(|(digest, hash)| hash == engine_hash && digest.parse().is_ok_and(&keep));
            if !wanted {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    fn path(&self, engine: &Engine, digest: Digest) -> PathBuf {
        self.dir.join(format!("{digest}-{}.cwasm", engine.artifact_hash()))
    }

    fn refusal_path(&self, engine: &Engine, digest: Digest) -> PathBuf {
        self.dir.join(format!("{digest}-{}.refused", engine.artifact_hash()))
    }

    fn verify<'a>(&self, engine: &Engine, digest: Digest, file: &'a [u8]) -> Option<Trusted<'a>> {
        let (mac, code) = file.split_at_checked(MAC_BYTES)?;
        self.mac(DOMAIN, engine, digest, code).verify_slice(mac).ok()?;
        Some(Trusted(code))
    }

    fn mac(&self, domain: &[u8], engine: &Engine, digest: Digest, code: &[u8]) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("an HMAC takes a key of any length");
        mac.update(domain);
        mac.update(digest.as_bytes());
        mac.update(engine.artifact_hash().as_bytes());
        mac.update(code);
        mac
    }
}

/// Takes the lock of a file, if it can be had in time.
fn lock_within(file: &File, wait: Duration) -> io::Result<()> {
    let deadline = Instant::now() + wait;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::Error(error)) => return Err(error),
            Err(TryLockError::WouldBlock) if Instant::now() >= deadline => {
                return Err(io::Error::other(format!("another process has had it for {} s", wait.as_secs())));
            }
            Err(TryLockError::WouldBlock) => thread::sleep(TURN_LOOK),
        }
    }
}

/// The turn to compile. It ends when this is dropped, or its process dies.
pub(crate) struct Turn(#[expect(dead_code, reason = "an open file is the lock")] File);

/// Code this host compiled: just now, or found under its MAC.
struct Trusted<'a>(&'a [u8]);

impl Artifacts {
    /// Code in a private file without a name, mapped: pages nobody runs can be left to the system, and no path leads to the rest.
    /// Where that cannot be had (a disk that is full, or mounted `noexec`), the code is copied into memory.
    fn deserialize(&self, engine: &Engine, code: &Trusted<'_>) -> wasmtime::Result<Component> {
        let mapped = tempfile::tempfile_in(&self.dir).and_then(|mut file| file.write_all(code.0).map(|()| file));
        if let Ok(component) = mapped.map_err(Into::into).and_then(|file| map(engine, &file)) {
            return Ok(component);
        }
        copy(engine, code)
    }
}

#[allow(unsafe_code, reason = "running compiled code is what this file exists to guard")]
fn copy(engine: &Engine, code: &Trusted<'_>) -> wasmtime::Result<Component> {
    // SAFETY: the bytes are what the compiler of this host produced. They are either still in the memory of a process that had them
    // compiled, or were found under an HMAC whose key only this host's files hold. They are copied, so nobody can change them.
    unsafe { Component::deserialize(engine.wasm(), code.0) }
}

#[allow(unsafe_code, reason = "running compiled code is what this file exists to guard")]
fn map(engine: &Engine, private: &File) -> wasmtime::Result<Component> {
    let path = format!("/proc/self/fd/{}", private.as_raw_fd());
    // SAFETY: as for `copy`, and the file has no name: it was created without one and only this process has it open. Whoever could
    // still change it, through this process's entries in /proc, could as well write to its memory.
    unsafe { Component::deserialize_file(engine.wasm(), path) }
}

/// Lets this process hold as many files as it may: each component that is mapped holds one.
fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        tracing::debug!(%error, "the limit of open files stays as it is");
    }
}

/// Reads the key, or makes one. A key that others could read, or that is damaged, is replaced: what it vouched for is compiled again.
fn open_key(path: &Path) -> io::Result<[u8; KEY_BYTES]> {
    match read_key(path) {
        Ok(Some(key)) => return Ok(key),
        Ok(None) => {
            tracing::warn!(path = %path.display(), "the key of the compiled components was not safe and is replaced");
            fs::remove_file(path)?;
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let mut key = [0; KEY_BYTES];
    getrandom::fill(&mut key).map_err(io::Error::other)?;
    match private_file::create(path, &key) {
        // Another process was quicker: there is one key, and it is theirs.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            read_key(path)?.ok_or_else(|| io::Error::other("the key was replaced by one that is not safe"))
        }
        made => made.map(|()| key),
    }
}

/// The key; None where it cannot be trusted.
fn read_key(path: &Path) -> io::Result<Option<[u8; KEY_BYTES]>> {
    let mut file = plain_file::open(path)?;
    let meta = file.metadata()?;
    let mut key = [0; KEY_BYTES];
    let ours = meta.is_file() && meta.uid() == geteuid().as_raw();
    if !ours || meta.mode() & 0o077 != 0 || meta.len() != KEY_BYTES as u64 {
        return Ok(None);
    }
    file.read_exact(&mut key)?;
    Ok(Some(key))
}

#[cfg(test)]
mod tests;
