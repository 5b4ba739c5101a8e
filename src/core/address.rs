//! The page's address: the state of every demo as words of a link, and back.
//!
//! An address is `#PLACE?v=1&KEY=VALUE&...`. The place is the id of a heading; the words hold what
//! differs from the page as it opens. Words with a dot in their key (`easy_correct.seed=77`) and a
//! few others are the page's; the rest are the laboratory's ([`crate::lab`]) and handed through.
//! An address without `?` is a place and says nothing of any demo.

use crate::balance::BackwardLoop;
use crate::experiment::{self, COUNT, DEFAULT_SEED, EXPERIMENTS, TEMPERED_BETAS};
use crate::lab::{self, read_number, shortened, unescaped};
use crate::limits;
use crate::message::DeviceChoice;
use std::fmt::Write;
use std::ops::RangeInclusive;

/// The version of addresses. A page of another says so and reads what it knows.
pub const VERSION: u32 = lab::VERSION;
/// What is longer than this many bytes is not read.
pub const MOST_BYTES: usize = 8_192;
/// The place of the laboratory.
pub const LAB: &str = "lab";
/// A notice of more sentences than this is cut.
const MOST_NOTES: usize = 6;

/// The temperatures that a demo offers.
pub const TEMPERATURES: RangeInclusive<f64> = 0.05..=3.0;
/// The numbers of trajectories that a demo offers.
pub const COUNTS: [u32; 6] = [500, 2_000, 10_000, 50_000, 100_000, 1_000_000];
/// Cells of the flow's maps.
pub const FLOW_CELLS: usize = 240;
/// The demos beside those of the tour's five, by their experiments' names.
const FURTHER_DEMOS: [&str; 1] = ["four_mode_solved"];
/// The experiment that the parts to open show first: its place among all.
const FIRST_SUBJECT: usize = 2;

const ENGINES: [(DeviceChoice, &str); 4] = [
    (DeviceChoice::Auto, "auto"),
    (DeviceChoice::WebGpu, "webgpu"),
    (DeviceChoice::Cpu, "cpu"),
    (DeviceChoice::CpuTable, "table"),
];
const LOOPS: [(BackwardLoop, &str); 3] = [
    (BackwardLoop::Correct, "correct"),
    (BackwardLoop::CountsForced, "counts_forced"),
    (BackwardLoop::DropsReal, "drops_real"),
];

/// What a reader can choose of one demo.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Demo {
    /// The factor on the standard deviation of each step.
    pub temperature: f64,
    /// The seed of the batch.
    pub seed: u64,
    /// Trajectories in the batch, one of [`COUNTS`].
    pub count: u32,
    /// Whether the tempered target is drawn.
    pub tempered: bool,
    /// How far the training was, in iterations; none at its end.
    pub iteration: Option<u32>,
}

impl Default for Demo {
    fn default() -> Self {
        Demo {
            temperature: 1.0,
            seed: DEFAULT_SEED,
            count: 2_000,
            tempered: false,
            iteration: None,
        }
    }
}

/// The part that shows the flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    /// Whether it is open.
    pub is_open: bool,
    /// The experiment's place among all.
    pub model: usize,
    /// The cursor's cell, below [`FLOW_CELLS`].
    pub cell: usize,
    /// The cursor's step, 0 to the horizon.
    pub t: usize,
}

/// Which walk the part with all its terms shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Walk {
    /// Walked back from the mode that the model serves worst.
    Poorest,
    /// Drawn by the forward policy.
    Forward,
    /// Walked back from this mode, counted from the left.
    Mode(usize),
}

/// The part that shows one walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trace {
    /// Whether it is open.
    pub is_open: bool,
    /// The experiment's place among all.
    pub model: usize,
    /// The walk.
    pub walk: Walk,
    /// The seed that it is drawn from.
    pub seed: u64,
    /// The term that is explained: 0 to 2 N + 1 with the horizon N.
    pub term: usize,
}

/// The part that shows the bug as algebra.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Algebra {
    /// Whether it is open.
    pub is_open: bool,
    /// The loop that is shown.
    pub counted: BackwardLoop,
}

/// A kind of control that a teacher can hide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// The slider and the field of a demo's temperature.
    Temperature,
    /// The slider and the button that move through a training.
    Training,
    /// The button for another seed.
    Resample,
    /// The choice of how many trajectories.
    Trajectories,
    /// The choice of an engine.
    Engine,
    /// The box that shows the tempered target.
    Tempered,
    /// The slider and the field of β.
    Beta,
    /// The button that copies a link.
    Link,
    /// The parts to open.
    Parts,
    /// The questions before an answer.
    Questions,
}

impl Control {
    /// All of them, with their names in addresses.
    pub const ALL: [(Control, &str); 10] = [
        (Control::Temperature, "temperature"),
        (Control::Training, "training"),
        (Control::Resample, "resample"),
        (Control::Trajectories, "trajectories"),
        (Control::Engine, "engine"),
        (Control::Tempered, "tempered"),
        (Control::Beta, "beta"),
        (Control::Link, "link"),
        (Control::Parts, "parts"),
        (Control::Questions, "questions"),
    ];
}

/// The controls that are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Controls(u16);

impl Controls {
    /// All of them.
    pub const SHOWN: Controls = Controls((1 << Control::ALL.len()) - 1);
    /// None of them.
    pub const HIDDEN: Controls = Controls(0);

    /// Whether `control` is shown.
    pub fn show(self, control: Control) -> bool {
        self.0 & (1 << control as u16) != 0
    }

    /// These and `control`.
    #[must_use]
    pub fn and(self, control: Control) -> Controls {
        Controls(self.0 | (1 << control as u16))
    }

    fn words(self) -> String {
        let shown = Control::ALL.iter().filter(|c| self.show(c.0)).map(|c| c.1);
        match shown.collect::<Vec<_>>().join(",") {
            none if none.is_empty() => "none".into(),
            words => words,
        }
    }
}

/// Everything that a reader can choose on the page but in its laboratory.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    /// The demos, by their experiments' places among all.
    pub demos: [Demo; COUNT],
    /// The exponent of the model that is told it.
    pub beta: f64,
    /// Where batches run.
    pub engine: DeviceChoice,
    /// What is shown of the controls.
    pub controls: Controls,
    /// The part that shows the flow.
    pub flow: Flow,
    /// The part that shows one walk.
    pub trace: Trace,
    /// The part that shows the bug as algebra.
    pub algebra: Algebra,
}

impl Default for State {
    fn default() -> Self {
        State {
            demos: [Demo::default(); COUNT],
            beta: 2.0,
            engine: DeviceChoice::Auto,
            controls: Controls::SHOWN,
            flow: Flow {
                is_open: false,
                model: FIRST_SUBJECT,
                cell: FLOW_CELLS / 3,
                t: 3,
            },
            trace: Trace {
                is_open: false,
                model: FIRST_SUBJECT,
                walk: Walk::Poorest,
                seed: DEFAULT_SEED,
                term: 0,
            },
            algebra: Algebra {
                is_open: false,
                counted: BackwardLoop::CountsForced,
            },
        }
    }
}

/// What became of a value: read as it stood, or brought into its range, in words.
type Change = Option<String>;

/// A setting: its key, and its value as text, for the group in question. `index` is the demo's.
struct Field {
    key: &'static str,
    write: fn(state: &State, index: usize) -> String,
    read: fn(state: &mut State, index: usize, text: &str) -> Result<Change, String>,
}

macro_rules! field {
    ($key:literal, |$state:ident, $index:pat_param| $value:expr, $write:expr, $read:expr) => {
        Field {
            key: $key,
            write: |$state, $index| $write(&$value),
            read: |$state, $index, text| $read(text, &mut $value),
        }
    };
}

/// The settings of each demo.
const DEMO: &[Field] = &[
    field!(
        "temperature",
        |s, i| s.demos[i].temperature,
        f64::to_string,
        |text, value| number(text, TEMPERATURES, value)
    ),
    field!("seed", |s, i| s.demos[i].seed, u64::to_string, seed),
    field!("count", |s, i| s.demos[i].count, u32::to_string, count),
    field!("tempered", |s, i| s.demos[i].tempered, yes_or_no, switch),
    Field {
        key: "iteration",
        write: |s, i| {
            let iteration = s.demos[i].iteration;
            iteration.map_or_else(|| "end".into(), |iteration| iteration.to_string())
        },
        read: |s, i, text| {
            let last = experiment::all().nth(i).map_or(0, |e| e.iterations) as u64;
            let mut iteration = last;
            let change = match text {
                "end" => None,
                _ => whole(text, last, &mut iteration)?,
            };
            s.demos[i].iteration = (iteration < last).then_some(iteration as u32);
            Ok(change)
        },
    },
];

/// The settings of the other groups, each with its words' first part.
const GROUPS: [(&str, &[Field]); 4] = [
    (
        "tempered",
        &[field!(
            "beta",
            |s, _| s.beta,
            f64::to_string,
            |text, value| number(text, TEMPERED_BETAS.0..=TEMPERED_BETAS.1, value)
        )],
    ),
    (
        "algebra",
        &[
            field!("open", |s, _| s.algebra.is_open, yes_or_no, switch),
            field!(
                "loop",
                |s, _| s.algebra.counted,
                |value| named(&LOOPS, value),
                |text, value| option(text, &LOOPS, value)
            ),
        ],
    ),
    (
        "flow",
        &[
            field!("open", |s, _| s.flow.is_open, yes_or_no, switch),
            field!("model", |s, _| s.flow.model, model_name, model),
            field!(
                "cell",
                |s, _| s.flow.cell,
                usize::to_string,
                |text, value| place(text, FLOW_CELLS - 1, value)
            ),
            field!("t", |s, _| s.flow.t, usize::to_string, |text, value| place(
                text,
                horizon(),
                value
            )),
        ],
    ),
    (
        "trace",
        &[
            field!("open", |s, _| s.trace.is_open, yes_or_no, switch),
            field!("model", |s, _| s.trace.model, model_name, model),
            field!("walk", |s, _| s.trace.walk, walk_name, walk),
            field!("seed", |s, _| s.trace.seed, u64::to_string, seed),
            field!(
                "term",
                |s, _| s.trace.term,
                usize::to_string,
                |text, value| place(text, 2 * horizon() + 1, value)
            ),
        ],
    ),
];

/// The settings of the page as a whole, without a group.
const PAGE: &[Field] = &[
    field!(
        "engine",
        |s, _| s.engine,
        |value| named(&ENGINES, value),
        |text, value| option(text, &ENGINES, value)
    ),
    field!(
        "controls",
        |s, _| s.controls,
        |value: &Controls| value.words(),
        controls
    ),
];

/// The longest walk of all experiments.
fn horizon() -> usize {
    experiment::all().map(|e| e.steps).max().unwrap_or(0)
}

fn number(text: &str, range: RangeInclusive<f64>, into: &mut f64) -> Result<Change, String> {
    let asked = read_number(text)?;
    let (lowest, highest) = (*range.start(), *range.end());
    *into = asked.clamp(lowest, highest);
    Ok((*into != asked).then(|| format!("is a number from {lowest} to {highest}")))
}

/// A whole number from 0 to `most`.
fn whole(text: &str, most: u64, into: &mut u64) -> Result<Change, String> {
    let exact = text.parse::<u64>().ok().filter(|value| *value <= most);
    *into = match exact {
        Some(value) => value,
        // Casts to whole numbers end at the ends of their range.
        None => (read_number(text)?.round() as u64).min(most),
    };
    // Beyond 2^53 neighbours are the same f64.
    let same = exact.is_some() || *into < 1 << 53 && read_number(text) == Ok(*into as f64);
    Ok((!same).then(|| format!("is a whole number from 0 to {most}")))
}

fn place(text: &str, most: usize, into: &mut usize) -> Result<Change, String> {
    let mut value = 0;
    let change = whole(text, most as u64, &mut value)?;
    *into = value as usize;
    Ok(change)
}

fn seed(text: &str, into: &mut u64) -> Result<Change, String> {
    whole(text, u64::MAX, into)
}

/// The nearest of [`COUNTS`], by ratio.
fn count(text: &str, into: &mut u32) -> Result<Change, String> {
    let asked = read_number(text)?;
    let off = |count: u32| (f64::from(count).ln() - asked.max(1.0).ln()).abs();
    let nearest = COUNTS
        .into_iter()
        .min_by(|a, b| off(*a).total_cmp(&off(*b)));
    *into = nearest.unwrap_or(COUNTS[0]);
    let list = || COUNTS.map(|count| count.to_string()).join(", ");
    Ok((f64::from(*into) != asked).then(|| format!("is one of {}", list())))
}

fn yes_or_no(value: &bool) -> String {
    let word = if *value { "1" } else { "0" };
    word.into()
}

fn switch(text: &str, into: &mut bool) -> Result<Change, String> {
    *into = match text {
        "1" | "true" | "yes" => true,
        "0" | "false" | "no" => false,
        _ => return Err(format!("`{}` is neither 1 nor 0", shortened(text))),
    };
    Ok(None)
}

fn named<T: Copy + PartialEq>(options: &[(T, &str)], value: &T) -> String {
    let found = options.iter().find(|option| option.0 == *value);
    found.map_or_else(String::new, |option| option.1.into())
}

fn option<T: Copy>(text: &str, options: &[(T, &str)], into: &mut T) -> Result<Change, String> {
    let found = options.iter().find(|option| option.1 == text);
    let found = found.ok_or_else(|| {
        let all: Vec<&str> = options.iter().map(|option| option.1).collect();
        format!("`{}` is none of {}", shortened(text), all.join(", "))
    })?;
    *into = found.0;
    Ok(None)
}

fn model_name(place: &usize) -> String {
    experiment::all()
        .nth(*place)
        .map_or_else(String::new, |e| e.name.into())
}

fn model(text: &str, into: &mut usize) -> Result<Change, String> {
    *into = experiment::place(text)
        .ok_or_else(|| format!("there is no model `{}`", shortened(text)))?;
    Ok(None)
}

fn walk_name(walk: &Walk) -> String {
    match walk {
        Walk::Poorest => "poorest".into(),
        Walk::Forward => "forward".into(),
        Walk::Mode(mode) => mode.to_string(),
    }
}

fn walk(text: &str, into: &mut Walk) -> Result<Change, String> {
    *into = match text {
        "poorest" => Walk::Poorest,
        "forward" => Walk::Forward,
        _ => {
            let mut mode = 0;
            let change = place(text, limits::MODES.end() - 1, &mut mode)?;
            *into = Walk::Mode(mode);
            return Ok(change);
        }
    };
    Ok(None)
}

fn controls(text: &str, into: &mut Controls) -> Result<Change, String> {
    let mut shown = Controls::HIDDEN;
    if text != "none" {
        for word in text.split(',') {
            let mut control = Control::Temperature;
            option(word, &Control::ALL, &mut control)?;
            shown = shown.and(control);
        }
    }
    *into = shown;
    Ok(None)
}

/// The group's fields and the demo's place, if the page has such a group.
fn group(name: &str) -> Option<(usize, &'static [Field])> {
    if let Some(index) = experiment::place(name).filter(|index| has_demo(*index)) {
        return Some((index, DEMO));
    }
    let found = GROUPS.iter().find(|group| group.0 == name)?;
    Some((0, found.1))
}

/// Whether the page has a demo of the experiment with this place among all.
pub fn has_demo(index: usize) -> bool {
    index < EXPERIMENTS.len()
        || experiment::all()
            .nth(index)
            .is_some_and(|experiment| FURTHER_DEMOS.contains(&experiment.name))
}

/// Whether a word of this key is the page's, and not the laboratory's.
pub fn is_of_page(key: &str) -> bool {
    key.contains('.') || PAGE.iter().any(|field| field.key == key)
}

/// What of a state differs from the page as it opens: for each setting its group (empty for those
/// of the page as a whole), its key and its value.
fn differences(state: &State) -> Vec<(&'static str, &'static str, String)> {
    let usual = State::default();
    let demos = experiment::all().enumerate();
    let demos = demos.filter(|(index, _)| has_demo(*index));
    let demos = demos.map(|(index, experiment)| (experiment.name, index, DEMO));
    let others = GROUPS.iter().map(|group| (group.0, 0, group.1));
    demos
        .chain(others)
        .chain([("", 0, PAGE)])
        .flat_map(|(group, index, fields)| fields.iter().map(move |field| (group, index, field)))
        .filter_map(|(group, index, field)| {
            let value = (field.write)(state, index);
            (value != (field.write)(&usual, index)).then_some((group, field.key, value))
        })
        .collect()
}

/// The first group in which two states differ, if they do; empty for what concerns the page as a
/// whole.
pub fn changed(before: &State, now: &State) -> Option<&'static str> {
    let (before, now) = (differences(before), differences(now));
    let in_one = |all: &[_], word: &_| !all.contains(word);
    let new = now.iter().find(|word| in_one(&before, word));
    let gone = || before.iter().find(|word| in_one(&now, word));
    new.or_else(gone).map(|word| word.0)
}

/// The address of a state, without its `#`. `rest` are the laboratory's words as [`parse`] gives
/// them.
pub fn write(place: &str, state: &State, rest: &str) -> String {
    write_those(place, state, rest, |_| true)
}

/// The address of what belongs to one group (a demo's name, for example) and to the page as a whole.
pub fn write_one(place: &str, state: &State, group: &str) -> String {
    write_those(place, state, "", |of| of == group || of.is_empty())
}

fn write_those(place: &str, state: &State, rest: &str, keep: impl Fn(&str) -> bool) -> String {
    let mut address = format!("{place}?v={VERSION}");
    if !rest.is_empty() {
        address += &format!("&{rest}");
    }
    for (group, key, value) in differences(state) {
        if keep(group) {
            let dot = if group.is_empty() { "" } else { "." };
            // Writing to a string does not fail.
            let _ = write!(address, "&{group}{dot}{key}={value}");
        }
    }
    address
}

/// What an address asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    /// The id of an element; empty for none.
    pub place: String,
    /// The whole page's state; none where the address is silent about it: where it has no `?`, or is
    /// the laboratory's alone.
    pub state: Option<State>,
    /// The laboratory's words, as they stood.
    pub rest: String,
    /// What was not read as it stood, in sentences.
    pub notes: Vec<String>,
}

/// Reads an address, without its `#`. Whatever it is, the state can be shown.
pub fn parse(address: &str) -> Asked {
    let mut notes = Vec::new();
    let address = cut(address, &mut notes);
    let (place, words) = match address.split_once('?') {
        Some((place, words)) => (place, Some(words)),
        None => (address, None),
    };
    let place = unescaped(place);
    let mut asked = Asked {
        place,
        state: None,
        rest: String::new(),
        notes,
    };
    let Some(words) = words else { return asked };
    let is_lab = asked.place == LAB;
    let mut state = State::default();
    let mut has_own = !is_lab;
    for word in words.split('&').filter(|word| !word.is_empty()) {
        let (key, value) = word.split_once('=').unwrap_or((word, ""));
        let (key, value) = (unescaped(key), unescaped(value));
        if key == "v" {
            // The laboratory tells it of its own addresses.
            if value != VERSION.to_string() && !is_lab {
                asked.notes.push(format!(
                    "The link is of version {}, and this page reads version {VERSION}: what it knows is used.",
                    shortened(&value)
                ));
            }
        } else if is_of_page(&key) {
            has_own = true;
            if let Some(note) = read(&mut state, &key, &value) {
                asked.notes.push(note);
            }
        } else if is_lab || lab::is_key(&key) {
            let and = if asked.rest.is_empty() { "" } else { "&" };
            asked.rest += and;
            asked.rest += word;
        } else {
            asked.notes.push(format!(
                "`{}` was left out: this page has no such setting.",
                shortened(&key)
            ));
        }
    }
    asked.state = has_own.then_some(state);
    let more = asked.notes.len().saturating_sub(MOST_NOTES);
    if more > 0 {
        asked.notes.truncate(MOST_NOTES);
        asked.notes.push(format!("And {more} more of the kind."));
    }
    asked
}

/// As much of an address as is read, up to its last whole word.
fn cut<'a>(address: &'a str, notes: &mut Vec<String>) -> &'a str {
    if address.len() <= MOST_BYTES {
        return address;
    }
    notes.push(format!(
        "The link is longer than {MOST_BYTES} characters: the rest was not read."
    ));
    let mut end = MOST_BYTES;
    while !address.is_char_boundary(end) {
        end -= 1;
    }
    let head = &address[..end];
    head.rfind('&').map_or(head, |end| &head[..end])
}

/// Reads one word into `state`; gives what there is to tell.
fn read(state: &mut State, key: &str, value: &str) -> Option<String> {
    let (of, name) = key.split_once('.').unwrap_or(("", key));
    let found = if of.is_empty() {
        Some((0, PAGE))
    } else {
        group(of)
    };
    let left_out = |why: &str| Some(format!("`{}` was left out: {why}.", shortened(key)));
    let Some((index, fields)) = found else {
        return left_out(&format!("this page has no demo `{}`", shortened(of)));
    };
    let Some(field) = fields.iter().find(|field| field.key == name) else {
        return left_out("this page has no such setting");
    };
    match (field.read)(state, index, value) {
        Ok(None) => None,
        Ok(Some(change)) => {
            let now = (field.write)(state, index);
            let asked = shortened(value);
            Some(format!(
                "`{key}` cannot be {asked}: it {change}. It is {now} now."
            ))
        }
        Err(why) => left_out(&why),
    }
}

/// The address of the laboratory with other words, `query`; the page's words in `address` stay.
pub fn with_lab(address: &str, query: &str) -> String {
    let mut new = format!("{LAB}?{query}");
    let words = address.split_once('?').map_or("", |(_, words)| words);
    for word in words.split('&') {
        let key = word.split_once('=').map_or(word, |(key, _)| key);
        if is_of_page(&unescaped(key)) {
            new += "&";
            new += word;
        }
    }
    new
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::Settings;
    use crate::noise::ThreefryRng;
    use rand::{Rng, RngExt};
    use std::collections::HashSet;

    /// A state with about half of its settings drawn anew.
    fn drawn(rng: &mut ThreefryRng) -> State {
        let mut state = State::default();
        for (index, demo) in state.demos.iter_mut().enumerate() {
            if !has_demo(index) || rng.random() {
                continue;
            }
            *demo = Demo {
                temperature: rng.random_range(TEMPERATURES),
                seed: rng.random(),
                count: COUNTS[rng.random_range(0..COUNTS.len())],
                tempered: rng.random(),
                iteration: rng.random::<bool>().then(|| rng.random_range(0..5_000)),
            };
        }
        if rng.random() {
            state.beta = rng.random_range(TEMPERED_BETAS.0..=TEMPERED_BETAS.1);
            state.engine = ENGINES[rng.random_range(0..ENGINES.len())].0;
            state.controls = Controls(rng.random_range(0..=Controls::SHOWN.0));
            state.algebra = Algebra {
                is_open: rng.random(),
                counted: LOOPS[rng.random_range(0..LOOPS.len())].0,
            };
        }
        if rng.random() {
            state.flow = Flow {
                is_open: rng.random(),
                model: rng.random_range(0..COUNT),
                cell: rng.random_range(0..FLOW_CELLS),
                t: rng.random_range(0..=horizon()),
            };
            state.trace = Trace {
                is_open: rng.random(),
                model: rng.random_range(0..COUNT),
                walk: match rng.random_range(0..3) {
                    0 => Walk::Poorest,
                    1 => Walk::Forward,
                    _ => Walk::Mode(rng.random_range(0..*limits::MODES.end())),
                },
                seed: rng.random(),
                term: rng.random_range(0..=2 * horizon() + 1),
            };
        }
        state
    }

    #[test]
    fn what_is_written_is_read_again() {
        let mut rng = ThreefryRng::new(1, 0);
        for _ in 0..2_000 {
            let state = drawn(&mut rng);
            let rest = ["", "preset=four_mode&batch=64&modes=0,1,2;3,1,1"][rng.random_range(0..2)];
            let place = ["", "happy-case", LAB][rng.random_range(0..3)];
            let address = write(place, &state, rest);
            assert!(address.len() <= MOST_BYTES, "{address}");
            let asked = parse(&address);
            assert_eq!(asked.notes, [""; 0], "{address}");
            assert_eq!((&*asked.place, &*asked.rest), (place, rest));
            let is_silent = place == LAB && state == State::default();
            assert_eq!(asked.state, (!is_silent).then_some(state));
        }
    }

    #[test]
    fn only_what_differs_is_written() {
        let mut state = State::default();
        assert_eq!(write("setup", &state, ""), "setup?v=1");
        state.demos[0] = Demo {
            temperature: 0.5,
            seed: 77,
            ..Demo::default()
        };
        state.controls = Controls::HIDDEN.and(Control::Resample);
        assert_eq!(
            write("happy-case", &state, "preset=four_mode"),
            "happy-case?v=1&preset=four_mode&easy_correct.temperature=0.5&easy_correct.seed=77\
             &controls=resample"
        );
    }

    #[test]
    fn a_demos_own_link_has_no_other_demos_words() {
        let mut state = drawn(&mut ThreefryRng::new(2, 0));
        let usual = State::default();
        state.demos[3].seed = 5;
        state.demos[4].seed = 6;
        let asked = parse(&write_one("off-policy", &state, EXPERIMENTS[3].name));
        let mut expected = State {
            engine: state.engine,
            controls: state.controls,
            ..usual
        };
        expected.demos[3] = state.demos[3];
        assert_eq!(asked.state, Some(expected));
    }

    #[test]
    fn the_changed_demo_is_named() {
        let before = State::default();
        assert_eq!(changed(&before, &before), None);
        let mut now = before.clone();
        now.demos[2].count = 500;
        assert_eq!(changed(&before, &now), Some("hard_on_policy"));
        assert_eq!(changed(&now, &before), Some("hard_on_policy"));
        let engine = State {
            engine: DeviceChoice::Cpu,
            ..before.clone()
        };
        assert_eq!(changed(&before, &engine), Some(""));
    }

    #[test]
    fn a_place_alone_says_nothing_of_the_demos() {
        for address in ["", "happy-case", "a=b&c.d=e", "%C3%A4"] {
            let asked = parse(address);
            assert_eq!((asked.state, asked.notes.len()), (None, 0));
        }
        assert_eq!(parse("%C3%A4").place, "ä");
        assert_eq!(parse("happy-case?").state, Some(State::default()));
    }

    #[test]
    fn the_laboratory_and_the_page_share_an_address() {
        assert_eq!(VERSION, lab::VERSION);
        for field in PAGE {
            assert!(!lab::is_key(field.key));
        }
        // A preset's link leaves the demos as they are.
        let preset = parse("lab?v=1&preset=four_mode&colour=red");
        assert_eq!((preset.state, preset.notes.len()), (None, 0));
        assert_eq!(preset.rest, "preset=four_mode&colour=red");

        let settings = Settings {
            batch: 64,
            ..Settings::default()
        };
        let mut state = State::default();
        state.demos[1].temperature = 2.0;
        let pages = write("pedagogical-bug", &state, "");
        let both = with_lab(&pages, &settings.to_query(lab::DEFAULT_PRESET));
        assert_eq!(
            both,
            "lab?v=1&preset=easy_correct&batch=64&easy_buggy.temperature=2"
        );
        for address in [&both, &write("setup", &state, &parse(&both).rest)] {
            assert_eq!(parse(address).state.as_ref(), Some(&state), "{address}");
            let asked = lab::from_address(address).unwrap();
            assert_eq!((asked.settings, asked.notes.len()), (settings.clone(), 0));
        }
        assert_eq!(lab::from_address(&pages), None);
    }

    #[track_caller]
    fn check(words: &str, note: &str) {
        let notes = parse(&format!("setup?{words}")).notes;
        assert!(
            notes.len() == 1 && notes[0].contains(note),
            "{words}: {notes:?}"
        );
    }

    #[test]
    fn what_is_not_read_as_it_stands_is_told() {
        check("v=7&easy_correct.seed=1", "version 7");
        check(
            "easy_correct.temperature=9",
            "`easy_correct.temperature` cannot be 9: it is a number from 0.05 to 3. It is 3 now.",
        );
        check("easy_correct.temperature=-1", "It is 0.05 now.");
        check("easy_correct.temperature=warm", "`warm` is no number");
        check("easy_correct.seed=-5", "It is 0 now.");
        check("easy_correct.seed=2.5", "a whole number from 0 to");
        check(
            "easy_correct.seed=18446744073709551616",
            "It is 18446744073709551615 now.",
        );
        check("easy_correct.count=3000", "It is 2000 now.");
        check("easy_correct.tempered=2", "neither 1 nor 0");
        check("easy_correct.iteration=5001", "It is end now.");
        check("nine_mode.seed=1", "this page has no demo `nine_mode`");
        check("easy_dropped.seed=1", "no demo `easy_dropped`");
        check("easy_correct.sead=1", "no such setting");
        check("temprature=2", "`temprature` was left out");
        check("tempered.beta=0", "It is 0.25 now.");
        check("flow.model=x", "there is no model `x`");
        check("flow.cell=240", "It is 239 now.");
        check("trace.walk=99", "It is 7 now.");
        check("algebra.loop=x", "`x` is none of correct, counts_forced");
        check("engine=gpu", "`gpu` is none of auto, webgpu, cpu, table");
        check("controls=volume", "`volume` is none of temperature");
        check("controls=", "`` is none of");
    }

    #[test]
    fn a_long_link_is_cut_and_its_notice_too() {
        let long = format!("setup?flow.t=1&{}", "easy_correct.seed=7&".repeat(2_000));
        let asked = parse(&long);
        assert_eq!(asked.notes.len(), 1);
        let state = asked.state.unwrap();
        assert_eq!((state.demos[0].seed, state.flow.t), (7, 1));
        // Not in the middle of a letter, nor of a word.
        let mut odd = "setup?é=".to_owned() + &"é".repeat(MOST_BYTES);
        assert_eq!(parse(&odd).notes.len(), 2);
        odd.insert(0, 'a');
        assert_eq!(parse(&odd).notes.len(), 2);
        let wrong = "a.b=c&".repeat(100);
        assert_eq!(parse(&format!("?{wrong}")).notes.len(), MOST_NOTES + 1);
    }

    /// Whether everything is where the page's controls can show it.
    fn is_sound(state: &State) -> bool {
        let demos = state
            .demos
            .iter()
            .all(|demo| TEMPERATURES.contains(&demo.temperature) && COUNTS.contains(&demo.count));
        demos
            && (TEMPERED_BETAS.0..=TEMPERED_BETAS.1).contains(&state.beta)
            && state.flow.cell < FLOW_CELLS
            && state.flow.model < COUNT
            && state.trace.model < COUNT
            && state.flow.t <= horizon()
    }

    #[test]
    fn no_address_is_too_bad_to_be_read() {
        let mut rng = ThreefryRng::new(3, 0);
        let mut told = HashSet::new();
        for _ in 0..20_000 {
            let mut bytes = write("lab", &drawn(&mut rng), "preset=four_mode").into_bytes();
            for _ in 0..rng.random_range(0..12) {
                let (at, other) = (rng.random_range(0..bytes.len()), rng.next_u32() as u8);
                match rng.random_range(0..4) {
                    0 => bytes[at] = other,
                    1 => bytes.insert(at, other),
                    2 => bytes.truncate(at.max(1)),
                    _ => bytes[at] = b"&=.?%,-e9"[usize::from(other) % 9],
                }
            }
            let address = String::from_utf8_lossy(&bytes);
            let asked = parse(&address);
            told.insert(asked.notes.len());
            let Some(state) = asked.state else { continue };
            assert!(is_sound(&state), "{address}");
            let again = parse(&write("setup", &state, ""));
            assert_eq!((again.state, again.notes.len()), (Some(state), 0));
        }
        assert!(told.len() > 3);
    }

    #[test]
    fn each_control_can_be_shown_alone() {
        for (control, name) in Control::ALL {
            let state = parse(&format!("?controls={name}")).state.unwrap();
            let shown = Control::ALL
                .into_iter()
                .filter(|c| state.controls.show(c.0));
            assert_eq!(shown.collect::<Vec<_>>(), [(control, name)]);
        }
        let none = parse("?controls=none").state.unwrap();
        assert_eq!(none.controls, Controls::HIDDEN);
        assert_eq!(State::default().controls, Controls::SHOWN);
    }
}
