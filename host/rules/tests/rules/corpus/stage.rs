//! A running host, one honest enterprise, and one attacker after another.

use std::fs;
use std::path::{Path, PathBuf};

use xnovu_domain::Verdict;
use xnovu_rules::{BindingOutcome, CompileLimits, Compiler, Rules, Ruling, Runtime, RuntimeOptions, Subject};

use super::table::{Attack, Ends, Guest};
use super::{GROWTH_BYTES_MAX, meter};
use crate::support::{B, Plugins, child_compiler, entry, event, guests, id, wat};

/// Longest text a refused or failing component makes an operator read, in bytes.
const REASON_BYTES_MAX: usize = 2_000;

/// Linear memory an attacker may use, in bytes: the default.
const MEMORY_BYTES: u64 = 32 << 20;

/// Memory the compiler may use, in bytes: enough for a rule, and soon used up by a bomb.
const COMPILER_BYTES: u64 = 256 << 20;

/// The host under attack.
pub(super) struct Stage {
    files: PathBuf,
    plugins: Plugins,
    runtime: Runtime,
    /// The resident set once everything that is made once has been made, in bytes.
    resident: u64,
}

/// How an attack ended.
#[derive(Debug)]
enum Ending {
    Refused(String),
    Failed(&'static str, String),
    Answered,
}

/// Writes the attackers' files, and builds what is built of them.
pub(super) fn make(attacks: &[Attack], files: &Path) {
    fs::write(files.join("honest"), guests::hostile()).unwrap();
    for attack in attacks {
        let file = files.join(&attack.name);
        match &attack.guest {
            Guest::Told => fs::write(file, guests::hostile()).unwrap(),
            Guest::ToldWithWasi => fs::write(file, guests::hostile_wasi()).unwrap(),
            Guest::Wat => fs::write(file, wat::component(&attack.name)).unwrap(),
            Guest::Made(make) => fs::write(file, make()).unwrap(),
            Guest::Cache(_) => {}
        }
    }
}

impl Stage {
    pub(super) async fn open(files: &Path) -> Self {
        let plugins = Plugins::new();
        plugins.put_file("honest", "1.0.0", &files.join("honest"));
        plugins.bind(&honest());
        let (runtime, report) = Runtime::open(options(&plugins)).await.unwrap();
        assert!(report.is_clean(), "{report}");
        let stage = Self { files: files.to_owned(), plugins, runtime, resident: 0 };
        stage.bystander().await.unwrap();
        Self { resident: meter::resident(), ..stage }
    }

    /// What the host has kept of everything so far, in bytes.
    pub(super) fn grown(&self) -> u64 {
        meter::resident().saturating_sub(self.resident)
    }

    /// Lets an attack happen and says what about it is not as the table has it.
    pub(super) async fn suffer(&self, number: usize, attack: &Attack) -> Result<(), String> {
        if let Guest::Cache(tamper) = &attack.guest {
            return self.with_damaged_cache(*tamper).await;
        }
        self.plugins.put_file(&attack.name, "1.0.0", &self.files.join(&attack.name));
        let before = meter::resident();
        meter::forget_peak();
        let ending = self.load_and_ask(number, attack).await;
        let grown = meter::peak().saturating_sub(before);
        fs::remove_dir_all(self.plugins.path().join(&attack.name)).unwrap();
        self.plugins.bind(&honest());
        self.runtime.reconcile().await;
        self.bystander().await?;
        judge(&attack.ends, &ending?)?;
        // None of the components that are made as bytes ever runs, so they have no memory of their own.
        let own = if matches!(attack.guest, Guest::Made(_)) { 0 } else { MEMORY_BYTES };
        if grown > own + GROWTH_BYTES_MAX {
            return Err(format!("meanwhile the host grew by {grown} bytes"));
        }
        match self.grown() {
            kept if kept > GROWTH_BYTES_MAX => Err(format!("the host has grown by {kept} bytes since the start")),
            _ => Ok(()),
        }
    }

    async fn load_and_ask(&self, number: usize, attack: &Attack) -> Result<Ending, String> {
        let attacker = format!("aaaaaaaa-aaaa-4aaa-8aaa-{number:012}");
        let limits = format!("limits = {{ {} }}", attack.limits);
        self.plugins.bind(&(honest() + &entry(&attacker, &attack.name, &limits, &attack.config)));
        let (report, bystander) = tokio::join!(self.runtime.reconcile(), self.bystander());
        bystander?;
        let subject = Subject::Enterprise(id(&attacker));
        let outcome = report.bindings.into_iter().find(|(bound, _)| *bound == subject);
        match outcome.ok_or("it is not in the report")?.1 {
            BindingOutcome::Ready(_) => {}
            BindingOutcome::NotLoaded(why) => return Ok(Ending::Refused(why.reason)),
            other => return Err(format!("an attacker was bound before: {other:?}")),
        }
        let (ruling, bystander) = tokio::join!(self.runtime.decide(event(&attacker), None), self.bystander());
        bystander?;
        match ruling {
            Ruling::Ruled(_) => Ok(Ending::Answered),
            Ruling::Broken(broken) => Ok(Ending::Failed(broken.kind.word(), broken.reason)),
            Ruling::Unbound => Err("it was not bound".to_owned()),
        }
    }

    /// Somebody has been at the compiled components while the host was down. It starts as if nothing had been there.
    async fn with_damaged_cache(&self, tamper: fn(&mut Vec<u8>, Vec<u8>)) -> Result<(), String> {
        let plugins = Plugins::new();
        plugins.put_file("honest", "1.0.0", &self.files.join("honest"));
        plugins.bind(&honest());
        drop(plugins.open().await);
        for file in plugins.cached(".cwasm") {
            let mut bytes = fs::read(&file).unwrap();
            tamper(&mut bytes, fs::read(self.files.join("machine-code")).unwrap());
            fs::write(&file, bytes).unwrap();
        }
        let damaged: Vec<Vec<u8>> = plugins.cached(".cwasm").iter().map(|file| fs::read(file).unwrap()).collect();
        let (runtime, report) = plugins.open().await;
        if !report.is_clean() {
            return Err(format!("it did not start: {report}"));
        }
        let stage = Self { files: self.files.clone(), plugins, runtime, resident: 0 };
        stage.bystander().await?;
        let mended: Vec<Vec<u8>> = stage.plugins.cached(".cwasm").iter().map(|file| fs::read(file).unwrap()).collect();
        if damaged.is_empty() || mended.is_empty() || mended == damaged {
            return Err("what was damaged is still there".to_owned());
        }
        Ok(())
    }

    /// The honest enterprise is answered, whatever goes on.
    async fn bystander(&self) -> Result<(), String> {
        match self.runtime.admit(event(B)).await {
            Ruling::Ruled(ruled) if matches!(ruled.answer, Verdict::Deliver { .. }) => Ok(()),
            other => Err(format!("the honest enterprise was not answered: {other:?}")),
        }
    }
}

/// As in earnest, but for the compiler: it ends by its memory, however slow the machine is.
fn options(plugins: &Plugins) -> RuntimeOptions {
    let limits = CompileLimits { memory_bytes: COMPILER_BYTES, cpu_s: 300, wall_s: 1200 };
    RuntimeOptions { compiler: Compiler::Child(child_compiler(limits)), ..plugins.options() }
}

fn honest() -> String {
    entry(B, "honest", "limits = { wall_ms = 10_000 }", "{}")
}

fn judge(wanted: &Ends, ending: &Ending) -> Result<(), String> {
    let words = match (wanted, ending) {
        (Ends::Refused(words), Ending::Refused(reason)) => Some((words, reason)),
        (Ends::Fails(kind, words), Ending::Failed(found, reason)) if kind == found => Some((words, reason)),
        (Ends::Harmless(_), Ending::Answered) => None,
        _ => return Err(format!("it ended otherwise: {ending:?}")),
    };
    let Some((words, reason)) = words else { return Ok(()) };
    if !reason.contains(words.as_str()) {
        return Err(format!("it ended with other words: {reason}"));
    }
    if reason.len() > REASON_BYTES_MAX || reason.chars().any(char::is_control) {
        return Err(format!("{} bytes that are not fit for an operator's screen: {reason:?}", reason.len()));
    }
    Ok(())
}
