//! What lies in the plugins' directory.
//!
//! Owns its layout: `bindings.toml`, and for each plugin a directory with `plugin.toml` and `<name>.wasm`. Reads and names; never
//! judges a component and never writes.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::bindings_file::{BINDINGS_FILE, BindingsFile};
use crate::manifest::{MANIFEST_FILE, Manifest, is_plugin_name};
use crate::mistake::Mistake;
use crate::report::Hinted;
use crate::{Digest, Limits};

/// Largest component read at all, in bytes. Bindings have limits of their own below it.
const COMPONENT_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Largest TOML file read, in bytes.
const TOML_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// What lies in the directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) dir: PathBuf,
    pub(crate) bindings: FoundBindings,
    /// Each directory that may be a plugin, by name: the plugin, or why it is none.
    pub(crate) plugins: BTreeMap<String, Result<FoundPlugin, Hinted>>,
}

/// What lies there as `bindings.toml`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FoundBindings {
    /// Nothing.
    Missing,
    /// Something that cannot be read.
    Unreadable(Vec<Hinted>),
    /// A file, whose entries may have mistakes each.
    Read(BindingsFile),
}

/// A plugin with a manifest and a component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FoundPlugin {
    pub(crate) manifest: Manifest,
    pub(crate) digest: Digest,
    pub(crate) wasm: Arc<[u8]>,
}

/// Reads the directory. Whatever cannot be read is part of what is found.
pub(crate) fn scan(dir: &Path, defaults: &Limits) -> Found {
    Found { dir: dir.to_owned(), bindings: scan_bindings(dir, defaults), plugins: scan_plugins(dir) }
}

/// What lies there as `bindings.toml`.
pub(crate) fn scan_bindings(dir: &Path, defaults: &Limits) -> FoundBindings {
    let path = dir.join(BINDINGS_FILE);
    let shown = path.display().to_string();
    let text = match read(&path, TOML_BYTES_MAX).map(String::from_utf8) {
        Ok(Ok(text)) => text,
        Ok(Err(_)) => return FoundBindings::Unreadable(vec![Hinted::new(format!("{shown} is not UTF-8"))]),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return FoundBindings::Missing,
        Err(error) => return FoundBindings::Unreadable(vec![Hinted::new(format!("{shown} cannot be read: {error}"))]),
    };
    match BindingsFile::parse(&shown, &text, defaults) {
        Ok(file) => FoundBindings::Read(file),
        Err(mistakes) => FoundBindings::Unreadable(mistakes.iter().map(|it| Hinted::new(it.to_string())).collect()),
    }
}

fn scan_plugins(dir: &Path) -> BTreeMap<String, Result<FoundPlugin, Hinted>> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let names = entries.filter(|entry| entry.path().is_dir()).filter_map(|entry| entry.file_name().into_string().ok());
    names.filter(|name| is_plugin_name(name)).map(|name| (name.clone(), scan_plugin(dir, &name))).collect()
}

fn scan_plugin(plugins_dir: &Path, name: &str) -> Result<FoundPlugin, Hinted> {
    let dir = plugins_dir.join(name);
    let manifest = scan_manifest(&dir, name)?;
    let path = component_path(plugins_dir, name);
    let wasm = read(&path, COMPONENT_BYTES_MAX).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => {
            Hinted::new(format!("{} is not there", path.display())).hint(build_hint(plugins_dir, name))
        }
        _ => Hinted::new(format!("{} cannot be read: {error}", path.display())),
    })?;
    Ok(FoundPlugin { manifest, digest: Digest::of(&wasm), wasm: wasm.into() })
}

fn scan_manifest(dir: &Path, name: &str) -> Result<Manifest, Hinted> {
    let path = dir.join(MANIFEST_FILE);
    let shown = path.display().to_string();
    let text = read(&path, TOML_BYTES_MAX).map_err(|error| Hinted::new(format!("{shown} cannot be read: {error}")))?;
    let text = String::from_utf8(text).map_err(|_| Hinted::new(format!("{shown} is not UTF-8")))?;
    let all = |mistakes: Vec<Mistake>| mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    let manifest = Manifest::parse(&shown, &text).map_err(|mistakes| Hinted::new(all(mistakes)))?;
    if manifest.name == name {
        return Ok(manifest);
    }
    Err(Hinted::new(format!("{shown} says name = {:?}, but its directory is {name:?}", manifest.name))
        .hint("a plugin has the name of its directory"))
}

/// Where the component of a plugin lies.
pub(crate) fn component_path(plugins_dir: &Path, name: &str) -> PathBuf {
    plugins_dir.join(name).join(format!("{name}.wasm"))
}

/// The command that makes a component.
pub(crate) fn build_hint(plugins_dir: &Path, name: &str) -> String {
    format!("xnovu plugin build {}", plugins_dir.join(name).display())
}

fn read(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(bytes_max + 1).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).is_ok_and(|len| len <= bytes_max) {
        Ok(bytes)
    } else {
        Err(io::Error::other(format!("it has more than {bytes_max} bytes")))
    }
}
