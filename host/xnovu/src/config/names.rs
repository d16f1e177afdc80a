//! Names that were written and are no settings, or are settings nobody hears.
//!
//! Owns the warnings about names. A typing error in a name is otherwise silent: the default holds, and nobody knows why.

use super::Mistake;
use super::enterprises::PREFIX;
use super::layers::{Found, Layer, Layers};
use super::settings::{all, find};
use super::table::Kind;

/// Beginnings that are ours alone, so that an unknown name in the environment is a mistake of whoever wrote it.
const OURS: [&str; 4] = ["XNOVU_", "DAEMON_", "SUBSCRIPTION_", "RULE_ENGINE_"];

/// How alike two names are that are taken for one, from 0 to 1.
const LIKENESS_MIN: f64 = 0.93;

/// A warning for each name that has no effect.
pub(super) fn warnings(layers: &Layers) -> Vec<Mistake> {
    let unheard = layers.all().filter_map(|found| unheard(&found));
    let outdone = all().filter(|setting| !matches!(setting.kind, Kind::Unused(_))).flat_map(|setting| {
        let spellings = layers.spellings(setting);
        let (first, others) = spellings.split_first().map_or((None, &[][..]), |(first, others)| (Some(first), others));
        let differing = others.iter().filter(|other| {
            first.is_some_and(|first| first.origin.layer == other.origin.layer && first.value != other.value)
        });
        let warn = |other: &Found| {
            let first = first.map_or("", |first| first.name.as_str());
            warning(other, format!("is not heard: {first} is the same setting and is set too"), "remove one of them")
        };
        differing.map(warn).collect::<Vec<_>>()
    });
    unheard.chain(outdone).collect()
}

fn unheard(found: &Found) -> Option<Mistake> {
    match find(&found.name) {
        Some(setting) if setting.kind == Kind::Unused(true) => {
            Some(warning(found, format!("is accepted and not used: {}", setting.about), "remove it"))
        }
        Some(_) => None,
        None if found.name.starts_with(PREFIX) => None,
        None => unknown(found),
    }
}

fn unknown(found: &Found) -> Option<Mistake> {
    let names = all().flat_map(|setting| std::iter::once(&setting.name).chain(setting.aliases));
    let like = names.map(|name| (strsim::jaro_winkler(&found.name, name), *name));
    let (likeness, name) = like.max_by(|a, b| a.0.total_cmp(&b.0))?;
    let ours = OURS.iter().any(|ours| found.name.starts_with(ours));
    let alike = likeness >= LIKENESS_MIN && found.origin.layer == Layer::DotEnv;
    let hint = if likeness >= LIKENESS_MIN {
        format!("did you mean {name}?")
    } else {
        "`xnovu config example` shows all".to_owned()
    };
    (ours || alike).then(|| warning(found, "is no setting and has no effect".to_owned(), &hint))
}

fn warning(found: &Found, what: String, hint: &str) -> Mistake {
    let what = if found.origin.place.is_some() { format!("{what} ({})", found.origin) } else { what };
    Mistake { name: found.name.clone(), what, hint: hint.to_owned() }
}
