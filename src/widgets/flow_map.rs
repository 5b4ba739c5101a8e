//! The flow of a model as numbers that a heat map shows: what is shown at a cell, and what the
//! whole says.

use crate::format::{percent, superscript};
use crate::palette::{Palette, Rgb, mix};
use gflownet_tour_core::message::FlowMap;
use std::ops::Range;

/// How far below the highest flow the colour scale reaches, in nats.
pub const DEPTH: f64 = 7.0;
/// The log-ratio, in nats, at which its colour scale ends.
pub const LIMIT: f64 = 3.0;
// Where the panes are in their figure, in CSS pixels.
pub const LEFT: f64 = 46.0;
pub const RIGHT: f64 = 10.0;
pub const HEADING: f64 = 36.0;
pub const AXIS: f64 = 30.0;

/// Flows whose log-ratio is smaller than this, in nats, count as equal.
const EQUAL: f64 = 0.25;

/// The panes of the map, from the top.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pane {
    Forward,
    Backward,
    Ratio,
}

impl Pane {
    /// All three.
    pub const ALL: [Pane; 3] = [Pane::Forward, Pane::Backward, Pane::Ratio];

    /// What it is called, above it.
    pub fn title(self) -> &'static str {
        match self {
            Pane::Forward => "forward flow Z·p(x, t), over step t",
            Pane::Backward => "backward flow F(x, t)",
            Pane::Ratio => "log-ratio, forward to backward",
        }
    }

    /// Its rows in a figure of this height, top and bottom in CSS pixels: N rows for t = 1..=N, and
    /// half of one below them for the start.
    pub fn rows(self, height: f64) -> Range<f64> {
        let each = (height - AXIS) / Pane::ALL.len() as f64;
        let top = self as u8 as f64 * each;
        top + HEADING..top + each
    }
}

/// The values at one cell and step, in nats.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reading {
    /// log(Z·p_t(x)).
    pub log_forward: f64,
    /// log F(x, t).
    pub log_backward: f64,
}

impl Reading {
    /// The forward flow over the backward flow, as a logarithm in nats.
    pub fn log_ratio(self) -> f64 {
        self.log_forward - self.log_backward
    }
}

/// A flow map with its scale.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    map: &'a FlowMap,
    /// Cells in a row.
    pub cells: usize,
    /// The horizon N: rows.
    pub steps: usize,
    /// The logarithm of the highest flow, in nats: the upper end of the colour scale.
    pub peak: f64,
}

impl<'a> View<'a> {
    /// The view of a map with `steps` rows; none for a map without cells.
    pub fn of(map: &'a FlowMap, steps: usize) -> Option<Self> {
        let cells = map.log_forward.len().checked_div(steps)?;
        let rows = [
            &map.log_forward,
            &map.log_backward,
            &map.forward_mean,
            &map.forward_std,
            &map.backward_mean,
            &map.backward_std,
        ];
        if cells == 0 || rows.iter().any(|row| row.len() != cells * steps) {
            return None;
        }
        let logs = map.log_forward.iter().chain(&map.log_backward);
        let peak = logs.filter(|log| log.is_finite()).copied();
        Some(View {
            map,
            cells,
            steps,
            peak: f64::from(peak.fold(f32::NEG_INFINITY, f32::max)),
        })
    }

    /// Both flows at `cell` and step `t`, in 1..=N; none elsewhere.
    pub fn at(&self, cell: usize, t: usize) -> Option<Reading> {
        if cell >= self.cells {
            return None;
        }
        let index = t.checked_sub(1)? * self.cells + cell;
        Some(Reading {
            log_forward: f64::from(*self.map.log_forward.get(index)?),
            log_backward: f64::from(*self.map.log_backward.get(index)?),
        })
    }

    /// Where a value lies on the colour scale of its pane: in [0, 1] for a flow, in [-1, 1] for
    /// the log-ratio; none where there is hardly any flow to compare.
    pub fn tone(&self, pane: Pane, cell: usize, t: usize) -> Option<f64> {
        let reading = self.at(cell, t)?;
        let share = |log: f64| ((log - self.peak) / DEPTH + 1.0).clamp(0.0, 1.0);
        match pane {
            Pane::Forward => Some(share(reading.log_forward)),
            Pane::Backward => Some(share(reading.log_backward)),
            Pane::Ratio => {
                let (forward, backward) = (
                    self.has_flow(reading.log_forward),
                    self.has_flow(reading.log_backward),
                );
                (forward || backward).then(|| (reading.log_ratio() / LIMIT).clamp(-1.0, 1.0))
            }
        }
    }

    fn has_flow(&self, log: f64) -> bool {
        log > self.peak - DEPTH
    }

    /// Whether the forward policy's walks come to `cell` after `t` steps, t in 1..=N.
    pub fn is_visited(&self, cell: usize, t: usize) -> bool {
        self.at(cell, t)
            .is_some_and(|reading| self.has_flow(reading.log_forward))
    }

    /// Whether walks back from the reward come to `cell` at step `t`, in 1..=N.
    pub fn is_visited_back(&self, cell: usize, t: usize) -> bool {
        self.at(cell, t)
            .is_some_and(|reading| self.has_flow(reading.log_backward))
    }

    /// Mean and standard deviation of the forward policy's action at `cell`, for t in 0..N.
    pub fn forward_law(&self, cell: usize, t: usize) -> Option<(f64, f64)> {
        Self::law(
            &self.map.forward_mean,
            &self.map.forward_std,
            t * self.cells + cell,
        )
    }

    /// Mean and standard deviation of the backward policy's action at `cell`, for t in 1..=N.
    pub fn backward_law(&self, cell: usize, t: usize) -> Option<(f64, f64)> {
        let index = t.checked_sub(1)? * self.cells + cell;
        Self::law(&self.map.backward_mean, &self.map.backward_std, index)
    }

    fn law(means: &[f32], stds: &[f32], index: usize) -> Option<(f64, f64)> {
        Some((f64::from(*means.get(index)?), f64::from(*stds.get(index)?)))
    }

    /// The share of the forward flow, over all steps, that is within a quarter of a nat of the
    /// backward flow.
    pub fn balanced(&self) -> f64 {
        self.share(1, |r| r.log_forward, |r| r.log_ratio().abs() < EQUAL)
    }

    /// The share of the reward that the forward flow misses: where at the last step it is less
    /// than e^-LIMIT of the backward flow.
    pub fn missed(&self) -> f64 {
        self.share(self.steps, |r| r.log_backward, |r| r.log_ratio() < -LIMIT)
    }

    /// What the map says, in two sentences.
    pub fn finding(&self) -> String {
        let missed = self.missed();
        let misses = if missed < 0.005 {
            "None of the reward is missed.".to_owned()
        } else {
            format!(
                "{} of the reward is missed: there, at the last step, the forward flow is less \
                 than e{} of the backward flow.",
                percent(missed, 0),
                superscript(-LIMIT as i32),
            )
        };
        format!(
            "{} of the forward flow lies within a quarter of a nat of the backward flow. {misses}",
            percent(self.balanced(), 0),
        )
    }

    /// The share of a flow, from step `first` on, at which `holds`.
    fn share(
        &self,
        first: usize,
        log_weight: fn(Reading) -> f64,
        holds: fn(Reading) -> bool,
    ) -> f64 {
        let (mut part, mut whole) = (0.0, 0.0);
        for t in first..=self.steps {
            for reading in (0..self.cells).filter_map(|cell| self.at(cell, t)) {
                let weight = (log_weight(reading) - self.peak).exp();
                whole += weight;
                part += if holds(reading) { weight } else { 0.0 };
            }
        }
        part / whole
    }
}

/// The colour of a pane's place with this tone; none where hardly any flow is.
pub fn tone_colour(palette: &Palette, pane: Pane, tone: Option<f64>) -> Rgb {
    match (pane, tone) {
        (_, None) => mix(palette.paper, palette.mode, 0.22),
        (Pane::Ratio, Some(tone)) if tone < 0.0 => mix(palette.paper, palette.under, -tone),
        (Pane::Ratio, Some(tone)) => mix(palette.paper, palette.over, tone),
        (_, Some(tone)) => mix(palette.paper, palette.flow, tone),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two steps, three cells: balanced, far too little forward, none at all.
    fn map() -> FlowMap {
        let rows = [0.0, -1.0, -40.0];
        let twice = |row: [f32; 3]| row.repeat(2);
        FlowMap {
            log_forward: twice([rows[0], rows[1] - 10.0, f32::NEG_INFINITY]),
            log_backward: twice(rows),
            forward_mean: vec![0.1, 0.2, 0.3, 0.4, 0.5, 0.6],
            forward_std: vec![0.5; 6],
            backward_mean: vec![1.1, 1.2, 1.3, 1.4, 1.5, 1.6],
            backward_std: vec![0.25; 6],
        }
    }

    #[test]
    fn tones_follow_the_scale_and_faint_places_have_no_ratio() {
        let map = map();
        let view = View::of(&map, 2).unwrap();
        assert_eq!((view.cells, view.peak), (3, 0.0));
        assert_eq!(view.tone(Pane::Forward, 0, 1), Some(1.0));
        assert_eq!(view.tone(Pane::Forward, 1, 1), Some(0.0));
        let backward = view.tone(Pane::Backward, 1, 2).unwrap();
        assert!((backward - 6.0 / 7.0).abs() < 1e-6);
        assert_eq!(view.tone(Pane::Ratio, 0, 1), Some(0.0));
        assert_eq!(view.tone(Pane::Ratio, 1, 1), Some(-1.0));
        assert_eq!(view.tone(Pane::Ratio, 2, 1), None);
        assert!(view.is_visited(0, 1) && !view.is_visited(1, 1));
        assert!(view.is_visited_back(1, 1) && !view.is_visited_back(2, 1));
        // At t = 0 all flow is at the start, and beyond N and the cells there is none.
        assert_eq!(view.at(0, 0).or(view.at(0, 3)).or(view.at(3, 1)), None);
    }

    #[test]
    fn laws_are_found_at_their_steps() {
        let map = map();
        let view = View::of(&map, 2).unwrap();
        let near = |law: Option<(f64, f64)>, mean: f64| (law.unwrap().0 - mean).abs() < 1e-6;
        assert!(near(view.forward_law(1, 0), 0.2) && near(view.forward_law(1, 1), 0.5));
        assert!(near(view.backward_law(1, 1), 1.2) && near(view.backward_law(1, 2), 1.5));
        assert_eq!(view.forward_law(1, 2).or(view.backward_law(1, 0)), None);
    }

    #[test]
    fn shares_say_what_is_balanced_and_what_is_missed() {
        let map = map();
        let view = View::of(&map, 2).unwrap();
        // Nearly all of the forward flow is at the balanced cell.
        assert!(view.balanced() > 0.9999);
        let e = (-1.0f64).exp();
        assert!((view.missed() - e / (1.0 + e)).abs() < 1e-6);
    }

    #[test]
    fn a_map_that_is_not_whole_is_none() {
        let mut map = map();
        assert!(View::of(&map, 0).is_none());
        map.backward_std.pop();
        assert!(View::of(&map, 2).is_none());
    }
}
