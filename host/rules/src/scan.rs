//! What lies in the plugins' directory.
//!
//! Owns its layout: `bindings.toml`, and for each plugin a directory with `plugin.toml` and `<name>.wasm`. Reads and names; never
//! judges a component and never writes.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::bindings_file::{BINDINGS_FILE, BindingsFile};
use crate::lock_file::{self, LOCK_FILE, Lock};
use crate::manifest::{MANIFEST_FILE, Manifest, is_plugin_name};
use crate::mistake::Mistake;
use crate::report::Hinted;
use crate::stat::FileStamp;
use crate::{Digest, Limits, clock, plain_file, threads};

/// Largest component read at all, in bytes. Bindings have limits of their own below it.
pub(crate) const COMPONENT_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Largest `bindings.toml` read, in bytes.
const BINDINGS_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Largest `plugin.toml` read, in bytes. It holds five lines, and an author wrote it.
const MANIFEST_BYTES_MAX: u64 = 64 * 1024;

/// Mistakes of one `plugin.toml` that are told.
const MISTAKES_MAX: usize = 10;

/// What lies in the directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) dir: PathBuf,
    pub(crate) bindings: FoundBindings,
    /// How long `bindings.toml` must still stay as it is until it may take somebody's rules away; zero where it may now.
    pub(crate) unbinds_in: Duration,
    /// What was rolled back; None where there is no such file.
    pub(crate) lock: Result<Option<Lock>, Hinted>,
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
    pub(crate) component: FoundComponent,
}

/// A component that was read once. It is not kept: a thousand of them would fill the memory, and most are loaded already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FoundComponent {
    pub(crate) path: PathBuf,
    pub(crate) digest: Digest,
    pub(crate) bytes: u64,
}

impl FoundComponent {
    /// Reads it again.
    ///
    /// # Errors
    /// It cannot be read, or is another one by now; then the next scan finds that.
    pub(crate) fn read(&self) -> Result<Vec<u8>, Hinted> {
        let shown = self.path.display();
        let wasm = read(&self.path, COMPONENT_BYTES_MAX)
            .map_err(|error| Hinted::new(format!("{shown} cannot be read: {error}")))?;
        if Digest::of(&wasm) == self.digest {
            return Ok(wasm);
        }
        Err(Hinted::new(format!("{shown} changed while it was being loaded")))
    }
}

/// Reads the directory, again and again. Owns what it read last, so that a file which has not changed is not read twice.
pub(crate) struct Scanner {
    plugins: HashMap<String, Known>,
    /// Parts of the directory that are being written: of them what was found last counts.
    unsettled: BTreeSet<String>,
    last_bindings: Option<FoundBindings>,
    /// How long `bindings.toml` must have stayed as it is before it may take somebody's rules away.
    unbind_after: Duration,
    /// Its stamp, and since when it has that.
    bindings: Option<(FileStamp, Instant)>,
}

/// A plugin as it was read, with the stamps its files had.
#[derive(Clone)]
struct Known {
    /// None where they do not tell whether it changes.
    stamps: Option<[FileStamp; 2]>,
    plugin: FoundPlugin,
}

impl Scanner {
    pub(crate) fn new(unbind_after: Duration) -> Self {
        Self { plugins: HashMap::new(), unsettled: BTreeSet::new(), last_bindings: None, unbind_after, bindings: None }
    }

    /// Says which plugins' directories, and which files beside them, are being written: of them what was found last counts.
    pub(crate) fn leave(&mut self, unsettled: BTreeSet<String>) {
        self.unsettled = unsettled;
    }

    /// Reads the directory. Whatever cannot be read is part of what is found.
    pub(crate) fn scan(&mut self, dir: &Path, defaults: &Limits) -> Found {
        let names = plugin_names(dir);
        let scanned = threads::each("rules-scan", &names, |name| {
            scan_again(dir, name, self.plugins.get(name), self.unsettled.contains(name))
        });
        self.plugins.clear();
        let mut plugins = BTreeMap::new();
        for (name, (plugin, known)) in names.into_iter().zip(scanned) {
            self.plugins.extend(known.map(|known| (name.clone(), known)));
            plugins.insert(name, plugin);
        }
        let before = FileStamp::of(&dir.join(BINDINGS_FILE));
        let last = self.last_bindings.take().filter(|_| self.unsettled.contains(BINDINGS_FILE));
        let bindings = last.unwrap_or_else(|| scan_bindings(dir, defaults));
        self.last_bindings = Some(bindings.clone());
        let unbinds_in = self.unbinds_in(before, FileStamp::of(&dir.join(BINDINGS_FILE)), Instant::now());
        Found { dir: dir.to_owned(), bindings, unbinds_in, lock: lock_file::read(dir), plugins }
    }

    /// How long a file that had these stamps before and after it was read must still stay as it is. A file that is being written is valid
    /// at many points and whole at one, so one that names fewer than before is believed when nobody has touched it for a while.
    fn unbinds_in(&mut self, before: Option<FileStamp>, after: Option<FileStamp>, now: Instant) -> Duration {
        let known = self.bindings.take().filter(|(known, _)| before == Some(*known));
        let since = known.map_or(now, |(_, since)| since);
        let (Some(stamp), true) = (after, before == after) else { return self.unbind_after };
        self.bindings = Some((stamp, since));
        // Either clock will do: that of the file system may be wrong, and this process may have looked for the first time.
        let calm = stamp.age(clock::now()).max(now.saturating_duration_since(since));
        self.unbind_after.saturating_sub(calm)
    }
}

/// Reads a plugin unless what is known of it still holds, or it is being written. With what is known of it from now on.
fn scan_again(
    dir: &Path,
    name: &str,
    known: Option<&Known>,
    unsettled: bool,
) -> (Result<FoundPlugin, Hinted>, Option<Known>) {
    if unsettled {
        let last = known.map(|known| known.plugin.clone());
        let why = || Hinted::new(format!("{} is being written", dir.join(name).display()));
        return (last.ok_or_else(why), known.cloned());
    }
    // Before the files are read: one that changes meanwhile has another stamp afterwards.
    let now = clock::now();
    let stamps = plugin_files(dir, name).map(|path| FileStamp::of(&path));
    let [Some(manifest), Some(component)] = stamps else { return (scan_plugin(dir, name), None) };
    let stamps = [manifest, component];
    if let Some(known) = known.filter(|known| known.stamps == Some(stamps)) {
        return (Ok(known.plugin.clone()), Some(known.clone()));
    }
    let plugin = scan_plugin(dir, name);
    let stamps = stamps.iter().all(|stamp| stamp.is_telling(now)).then_some(stamps);
    let known = plugin.as_ref().ok().map(|plugin| Known { stamps, plugin: plugin.clone() });
    (plugin, known)
}

/// Every file whose change may change what is found, whether it is there or not.
pub(crate) fn watched_files(dir: &Path) -> Vec<PathBuf> {
    let plugins = plugin_names(dir).into_iter().flat_map(|name| plugin_files(dir, &name));
    [BINDINGS_FILE, LOCK_FILE].map(|name| dir.join(name)).into_iter().chain(plugins).collect()
}

/// Whether a path is, or would be, one of them.
pub(crate) fn is_watched_file(dir: &Path, path: &Path) -> bool {
    let Some(parent) = path.parent() else { return false };
    if parent == dir {
        return path.ends_with(BINDINGS_FILE) || path.ends_with(LOCK_FILE);
    }
    let name = parent.file_name().and_then(OsStr::to_str).filter(|name| is_plugin_name(name));
    parent.parent() == Some(dir) && name.is_some_and(|name| plugin_files(dir, name).iter().any(|file| file == path))
}

/// What lies there as `bindings.toml`.
fn scan_bindings(dir: &Path, defaults: &Limits) -> FoundBindings {
    let path = dir.join(BINDINGS_FILE);
    let shown = path.display().to_string();
    let text = match read(&path, BINDINGS_BYTES_MAX).map(String::from_utf8) {
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

/// Names of the directories that may be plugins.
fn plugin_names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path())));
    names.filter(|(name, path)| is_plugin_name(name) && path.is_dir()).map(|(name, _)| name).collect()
}

/// The manifest and the component of a plugin.
fn plugin_files(plugins_dir: &Path, name: &str) -> [PathBuf; 2] {
    [plugins_dir.join(name).join(MANIFEST_FILE), component_path(plugins_dir, name)]
}

fn scan_plugin(plugins_dir: &Path, name: &str) -> Result<FoundPlugin, Hinted> {
    let dir = plugins_dir.join(name);
    let manifest = scan_manifest(&dir, name)?;
    let path = component_path(plugins_dir, name);
    let (digest, bytes) = measure(&path, COMPONENT_BYTES_MAX).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => {
            Hinted::new(format!("{} is not there", path.display())).hint(build_hint(plugins_dir, name))
        }
        _ => Hinted::new(format!("{} cannot be read: {error}", path.display())),
    })?;
    Ok(FoundPlugin { manifest, component: FoundComponent { path, digest, bytes } })
}

fn scan_manifest(dir: &Path, name: &str) -> Result<Manifest, Hinted> {
    let path = dir.join(MANIFEST_FILE);
    let shown = path.display().to_string();
    let text =
        read(&path, MANIFEST_BYTES_MAX).map_err(|error| Hinted::new(format!("{shown} cannot be read: {error}")))?;
    let text = String::from_utf8(text).map_err(|_| Hinted::new(format!("{shown} is not UTF-8")))?;
    let all = |mistakes: Vec<Mistake>| {
        let mut told: Vec<_> = mistakes.iter().take(MISTAKES_MAX).map(ToString::to_string).collect();
        let more = mistakes.len() - told.len();
        told.extend((more > 0).then(|| format!("and {more} more mistakes")));
        told.join("; ")
    };
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

/// What a file is, without holding it: one that is too large for its binding must not cost its size to find out.
fn measure(path: &Path, bytes_max: u64) -> io::Result<(Digest, u64)> {
    let (digest, bytes) = Digest::of_all(plain_file::open(path)?.take(bytes_max + 1))?;
    if bytes <= bytes_max { Ok((digest, bytes)) } else { Err(too_long(bytes_max)) }
}

fn too_long(bytes_max: u64) -> io::Error {
    io::Error::other(format!("it has more than {bytes_max} bytes"))
}

fn read(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    plain_file::open(path)?.take(bytes_max + 1).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).is_ok_and(|len| len <= bytes_max) { Ok(bytes) } else { Err(too_long(bytes_max)) }
}
