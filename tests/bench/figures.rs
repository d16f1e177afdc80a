//! Figures of several rounds, and how they are printed.

/// Figures by name, in the order in which they were first taken.
#[derive(Default)]
pub(crate) struct Figures(Vec<(String, Vec<f64>)>);

impl Figures {
    /// Takes a figure of one round.
    pub(crate) fn add(&mut self, what: impl Into<String>, value: f64) {
        let what = what.into();
        match self.0.iter_mut().find(|(name, _)| *name == what) {
            Some((_, values)) => values.push(value),
            None => self.0.push((what, vec![value])),
        }
    }

    /// Takes three quantiles of one round's times.
    pub(crate) fn add_quantiles(&mut self, what: &str, mut times: Vec<f64>) {
        times.sort_by(f64::total_cmp);
        for (name, share) in [("p50", 0.5), ("p99", 0.99), ("max", 1.0)] {
            self.add(format!("{what}, {name}"), times[((times.len() - 1) as f64 * share) as usize]);
        }
    }

    /// Prints the median of the rounds, and the least and the most.
    pub(crate) fn print(mut self) {
        for (what, values) in &mut self.0 {
            values.sort_by(f64::total_cmp);
            let places = if values[0].abs() < 100.0 { 2 } else { 0 };
            let (median, least, most) = (values[values.len() / 2], values[0], values[values.len() - 1]);
            println!("{what}: {median:.places$} ({least:.places$} to {most:.places$}, {} rounds)", values.len());
        }
    }
}
