//! `xnovu plugin dev`: build and try a plugin again whenever its files change.
//!
//! Owns the loop of an author at work: a round builds, runs the cases and shows what each answered; then it waits for another change.
//! A round that fails is told, and the loop goes on. Ends with Ctrl-C. Looks at the files themselves a few times a second, so it works
//! on every file system and with every editor.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Context;
use clap::Args;
use serde_json::{Value, json};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use xnovu_rules::{Digest, Workbench};

use super::project::{Project, relative};
use super::test::{self, Report};
use super::{Places, build};
use crate::cli::output::Output;
use crate::shutdown;

/// Time between two looks at the files.
const LOOK: Duration = Duration::from_millis(250);

/// Directories whose files are made, not written.
const MADE: [&str; 3] = ["target", ".git", "node_modules"];

/// Most files watched, so that a directory that is no plugin is not walked for ever.
const FILES_MAX: usize = 10_000;

/// Changed files that are named.
const CHANGED_SHOWN: usize = 5;

/// Exit code of a second signal.
const EXIT_INTERRUPTED: u8 = 130;

/// Which plugin to work on.
#[derive(Debug, Args)]
pub struct DevArgs {
    /// Directory with a plugin.toml [default: this one]
    #[arg(value_name = "DIR", default_value = ".", hide_default_value = true)]
    dir: PathBuf,
}

/// The files of a plugin as they were at one look: when each was changed, and its size.
type Seen = BTreeMap<PathBuf, (Option<SystemTime>, u64)>;

/// How one round went.
struct Round {
    /// Size of the component in bytes, and its digest.
    built: Option<(usize, Digest)>,
    cases: Vec<Report>,
    error: Option<String>,
}

pub(super) async fn run(args: &DevArgs, places: &Places, output: Output) -> anyhow::Result<ExitCode> {
    let stop = CancellationToken::new();
    tokio::select! {
        // Who ends the loop is done with it: that is no failure.
        ended = work(args, places, output, &stop) => ended.map(|()| ExitCode::SUCCESS),
        twice = shutdown::listen(stop.clone()) => {
            twice.context("listening for Ctrl-C")?;
            Ok(ExitCode::from(EXIT_INTERRUPTED))
        }
    }
}

async fn work(args: &DevArgs, places: &Places, output: Output, stop: &CancellationToken) -> anyhow::Result<()> {
    let project = Project::open(&args.dir)?;
    let bench = Arc::new(places.sandbox()?);
    let mut seen = look(&project.dir);
    let mut changed = Vec::new();
    for number in 1_u64.. {
        begin(number, &changed, output);
        let (dir, places, bench) = (project.dir.clone(), places.clone(), bench.clone());
        // A terminal's Ctrl-C reaches cargo as well, so what is under way ends at once; nothing of it is told then.
        let round = tokio::task::spawn_blocking(move || round(&bench, &dir, &places, output));
        let round = round.await.context("running a round")?;
        if stop.is_cancelled() {
            break;
        }
        tell(number, &round, output);
        if !output.json() {
            output.note(&format!("watching {}; Ctrl-C ends", relative(&project.dir).display()));
        }
        tokio::select! {
            files = change(&project.dir, &mut seen) => changed = files,
            () = stop.cancelled() => break,
        }
    }
    Ok(())
}

/// On a terminal each round has the screen to itself, so that nothing of the last one is taken for this one's.
fn begin(number: u64, changed: &[PathBuf], output: Output) {
    if number == 1 || output.json() {
        return;
    }
    output.clear();
    let shown: Vec<_> = changed.iter().take(CHANGED_SHOWN).map(|file| file.display().to_string()).collect();
    let more = changed.len() - shown.len();
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    output.note(&format!("changed: {}{more}", shown.join(", ")));
}

/// Waits until files are other than they were seen and have not changed between two looks, so that a save of many files is one change.
async fn change(dir: &Path, seen: &mut Seen) -> Vec<PathBuf> {
    let mut looks = tokio::time::interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut before = seen.clone();
    loop {
        looks.tick().await;
        let now = look(dir);
        if now != *seen && now == before {
            let changed = differing(seen, &now);
            *seen = now;
            return changed.into_iter().map(|file| file.strip_prefix(dir).unwrap_or(&file).to_owned()).collect();
        }
        before = now;
    }
}

fn differing(before: &Seen, now: &Seen) -> Vec<PathBuf> {
    let other = now.iter().filter(|(file, stamp)| before.get(*file) != Some(stamp)).map(|(file, _)| file);
    other.chain(before.keys().filter(|file| !now.contains_key(*file))).cloned().collect()
}

/// What lies in the directory. What cannot be read is not there; the round that follows tells it.
fn look(dir: &Path) -> Seen {
    let (mut seen, mut dirs) = (Seen::new(), vec![dir.to_owned()]);
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            let path = entry.path();
            let Ok(meta) = fs::metadata(&path) else { continue };
            let name = entry.file_name();
            if meta.is_dir() {
                // A link to a directory may lead around in circles.
                let followed = entry.file_type().is_ok_and(|it| it.is_dir());
                if followed && !MADE.iter().any(|made| name == *made) {
                    dirs.push(path);
                }
            } else if !is_made(&path) && seen.len() < FILES_MAX {
                seen.insert(path, (meta.modified().ok(), meta.len()));
            }
        }
    }
    seen
}

/// Whether a file is what a round makes, or an editor's own.
fn is_made(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let made = [".wasm", ".tmp", ".swp", "~", "Cargo.lock"];
    made.iter().any(|end| name.ends_with(end)) || name.starts_with(".#")
}

fn round(bench: &Workbench, dir: &Path, places: &Places, output: Output) -> Round {
    let mut round = Round { built: None, cases: Vec::new(), error: None };
    if let Err(error) = fill(&mut round, bench, dir, places, output) {
        round.error = Some(format!("{error:#}"));
    }
    round
}

fn fill(round: &mut Round, bench: &Workbench, dir: &Path, places: &Places, output: Output) -> anyhow::Result<()> {
    // Read again each time: plugin.toml is one of the files that change.
    let project = Project::open(dir)?;
    let wasm = build::build(&project, places, output).context("building it")?;
    build::replace(&project.component(), &wasm)
        .with_context(|| format!("writing {}", project.component().display()))?;
    round.built = Some((wasm.len(), Digest::of(&wasm)));
    round.cases = test::test(bench, &project)?;
    Ok(())
}

fn tell(number: u64, round: &Round, output: Output) {
    let failed = round.cases.iter().filter(|report| !report.failures.is_empty()).count();
    let passed = round.cases.len() - failed;
    if output.json() {
        // A line a round, so that a reader need not wait for an end that never comes.
        let built = round.built.map(|(bytes, digest)| json!({"bytes": bytes, "digest": digest.to_string()}));
        let cases: Vec<Value> = round.cases.iter().map(Report::to_json).collect();
        let line = json!({"round": number, "built": built, "error": round.error, "passed": passed, "failed": failed, "cases": cases});
        return output.line(&line.to_string());
    }
    if let Some((bytes, digest)) = round.built {
        output.line(&format!("built  {bytes} bytes  {}", digest.short()));
    }
    for report in &round.cases {
        test::tell(report, output);
        if let Some(answer) = report.answer() {
            output.line(&format!("      it {answer}"));
        }
    }
    match &round.error {
        Some(error) => output.note(&format!("error: {error}")),
        None => output.line(&format!("{passed} passed, {failed} failed")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_author_writes_is_seen_and_what_a_build_makes_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let put = |file: &str| {
            let path = dir.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "x").unwrap();
        };
        for file in ["plugin.toml", "src/lib.rs", "src/deep/er.rs", "cases/a.json", "vendor/sdk/lib.rs"] {
            put(file);
        }
        let written = look(dir.path());
        assert_eq!(written.len(), 5);
        for file in
            ["target/x/y.rs", ".git/HEAD", "p.wasm", "p.wasm.7.tmp", "src/.lib.rs.swp", "src/lib.rs~", "Cargo.lock"]
        {
            put(file);
        }
        assert_eq!(look(dir.path()), written);
        put("src/new.rs");
        fs::remove_file(dir.path().join("cases/a.json")).unwrap();
        let changed = differing(&written, &look(dir.path()));
        assert_eq!(changed, [dir.path().join("src/new.rs"), dir.path().join("cases/a.json")]);
    }

    #[tokio::test]
    async fn a_change_is_told_once_it_is_whole() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a.rs"), "1").unwrap();
        let mut seen = look(dir.path());
        fs::write(dir.path().join("a.rs"), "22").unwrap();
        fs::write(dir.path().join("b.rs"), "3").unwrap();
        assert_eq!(change(dir.path(), &mut seen).await, [Path::new("a.rs"), Path::new("b.rs")]);
        assert_eq!(seen, look(dir.path()));
    }
}
