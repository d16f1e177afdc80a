//! Compiled components on disk, so that a restart does not compile again.
//!
//! Owns the only `unsafe` of the crate: a compiled component is machine code, and running a forged one is running anything. Hence
//! nothing is loaded that this host did not write itself. Each file begins with an HMAC-SHA256, under a key that never leaves this
//! machine, over the digest of the component, the engine it was compiled for and the code; the name alone proves nothing. Directory
//! 0700, key 0600, files written beside and renamed. A file is read whole and verified in memory, so that nothing which happens to
//! it afterwards matters. Whatever is wrong with a file, the component is compiled anew.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use wasmtime::component::Component;

use crate::engine::Engine;
use crate::{Digest, private_file};

/// Name of the key file, beside the cache directory.
const KEY_FILE: &str = "artifact.key";

/// What the HMAC covers first, so that the key is of no use for anything else.
const DOMAIN: &[u8] = b"xnovu compiled component 1";

const KEY_BYTES: usize = 32;
const MAC_BYTES: usize = 32;

/// The cache directory and the key to it.
pub(crate) struct Artifacts {
    dir: PathBuf,
    key: [u8; KEY_BYTES],
}

/// Where a component's code came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Provenance {
    /// From the cache.
    Cached,
    /// Compiled just now.
    Compiled,
}

impl Artifacts {
    /// Opens or creates the directory, and the key in its parent.
    ///
    /// # Errors
    /// Neither can be read or created.
    pub(crate) fn open(dir: &Path) -> io::Result<Self> {
        private_file::create_dir(dir)?;
        let key = open_key(&dir.parent().unwrap_or(Path::new(".")).join(KEY_FILE))?;
        Ok(Self { dir: dir.to_owned(), key })
    }

    /// The code of a component, from the cache where that can be trusted, else compiled and put there.
    ///
    /// A cache that cannot be written is no failure; it is reported once here, and the code is used.
    ///
    /// # Errors
    /// The component does not compile.
    pub(crate) fn load(
        &self,
        engine: &Engine,
        digest: Digest,
        wasm: &[u8],
    ) -> wasmtime::Result<(Component, Provenance)> {
        let path = self.path(engine, digest);
        if let Some(component) = self.read(engine, digest, &path) {
            return Ok((component, Provenance::Cached));
        }
        let code = engine.wasm().precompile_component(wasm)?;
        if let Err(error) = self.write(engine, digest, &path, &code) {
            tracing::warn!(path = %path.display(), %error, "a compiled component could not be kept");
        }
        Ok((deserialize(engine, &Trusted(&code))?, Provenance::Compiled))
    }

    /// Removes the code of every component that is none of these, and of every engine that is not this one.
    pub(crate) fn retain(&self, engine: &Engine, keep: impl Fn(Digest) -> bool) -> io::Result<()> {
        let engine_hash = engine.artifact_hash().to_string();
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            let name = entry.file_name();
            let Some(stem) = name.to_str().and_then(|name| name.strip_suffix(".cwasm")) else { continue };
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

    fn read(&self, engine: &Engine, digest: Digest, path: &Path) -> Option<Component> {
        let file = fs::read(path).ok()?;
        let loaded = self.verify(engine, digest, &file).and_then(|code| deserialize(engine, &code).ok());
        if loaded.is_none() {
            tracing::warn!(path = %path.display(), "a compiled component is not as this host left it; compiling it again");
        }
        loaded
    }

    fn verify<'a>(&self, engine: &Engine, digest: Digest, file: &'a [u8]) -> Option<Trusted<'a>> {
        let (mac, code) = file.split_at_checked(MAC_BYTES)?;
        self.mac(engine, digest, code).verify_slice(mac).ok()?;
        Some(Trusted(code))
    }

    fn write(&self, engine: &Engine, digest: Digest, path: &Path, code: &[u8]) -> io::Result<()> {
        let mac = self.mac(engine, digest, code).finalize().into_bytes();
        private_file::replace(path, &[mac.as_slice(), code])
    }

    fn mac(&self, engine: &Engine, digest: Digest, code: &[u8]) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("an HMAC takes a key of any length");
        mac.update(DOMAIN);
        mac.update(digest.as_bytes());
        mac.update(engine.artifact_hash().as_bytes());
        mac.update(code);
        mac
    }
}

/// Code this process compiled, or verified to be code this host compiled.
struct Trusted<'a>(&'a [u8]);

#[allow(unsafe_code, reason = "running compiled code is what this file exists to guard")]
fn deserialize(engine: &Engine, code: &Trusted<'_>) -> wasmtime::Result<Component> {
    // SAFETY: the bytes are what `precompile_component` of this host produced. They are either still in the memory of the process
    // that compiled them, or were found under an HMAC whose key only this host's files hold. They are copied, never mapped, so
    // nobody can change them afterwards.
    unsafe { Component::deserialize(engine.wasm(), code.0) }
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
    let mut file = File::open(path)?;
    let meta = file.metadata()?;
    let mut key = [0; KEY_BYTES];
    if meta.mode() & 0o077 != 0 || meta.len() != KEY_BYTES as u64 {
        return Ok(None);
    }
    file.read_exact(&mut key)?;
    Ok(Some(key))
}

#[cfg(test)]
mod tests;
