//! Which batch runs next, and for how long: the newest request of each demo, turn by turn.
//!
//! A batch is drawn in chunks. Between two chunks new requests come in; every demo with work to
//! do gets the next chunk in turn, so a long batch of one demo never holds up another, and a
//! batch whose demo has asked anew is cut short as soon as it is worth showing. That is what lets
//! a plot follow a slider that is dragged faster than whole batches can be drawn.

use gflownet_tour_core::message::SampleRequest;
use std::collections::VecDeque;

/// Trajectories that make a histogram worth showing when a newer request already waits.
pub const WORTH_SHOWING: u32 = 2_000;

/// The demos with work to do, in the order of their turns. `W` is a batch in progress.
#[derive(Debug)]
pub struct Schedule<W> {
    turns: VecDeque<Turn<W>>,
}

#[derive(Debug)]
struct Turn<W> {
    demo: u32,
    /// The batch in progress; none while it is in hand or not begun.
    work: Option<W>,
    /// The newest request, while it waits.
    waiting: Option<SampleRequest>,
}

/// What to do next.
#[derive(Debug, PartialEq)]
pub enum Next<W> {
    /// Begin this batch.
    Begin(SampleRequest),
    /// Go on with this one.
    Continue(W),
}

impl<W> Default for Schedule<W> {
    fn default() -> Self {
        Schedule {
            turns: VecDeque::new(),
        }
    }
}

impl<W> Schedule<W> {
    /// Takes a request in. It replaces an older one of the same demo that still waits.
    pub fn submit(&mut self, request: SampleRequest) {
        let demo = request.demo;
        match self.turns.iter_mut().find(|turn| turn.demo == demo) {
            Some(turn) => turn.waiting = Some(request),
            None => self.turns.push_back(Turn {
                demo,
                work: None,
                waiting: Some(request),
            }),
        }
    }

    /// Hands out the work whose turn it is; it stays in hand until [`Schedule::put_back`] or
    /// [`Schedule::finish`]. `None` when there is nothing to do.
    pub fn take(&mut self) -> Option<Next<W>> {
        let turn = self.turns.front_mut()?;
        let work = turn.work.take().map(Next::Continue);
        work.or_else(|| turn.waiting.take().map(Next::Begin))
    }

    /// Whether the batch in hand should end now, with `drawn` of `count` trajectories.
    pub fn enough(&self, drawn: u32, count: u32) -> bool {
        let newer_waits = self.turns.front().is_some_and(|t| t.waiting.is_some());
        drawn >= count || (newer_waits && drawn >= WORTH_SHOWING)
    }

    /// Gives the batch in hand back unfinished, to go on when the others had their turn.
    pub fn put_back(&mut self, work: W) {
        if let Some(mut turn) = self.turns.pop_front() {
            turn.work = Some(work);
            self.turns.push_back(turn);
        }
    }

    /// The batch in hand is over: the next of its demo, if one waits, comes after the others.
    pub fn finish(&mut self) {
        if let Some(turn) = self.turns.pop_front()
            && turn.waiting.is_some()
        {
            self.turns.push_back(turn);
        }
    }
}

/// How many trajectories a chunk should hold so that it takes about [`Pace::TARGET_MS`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    chunk: u32,
    smallest: u32,
}

impl Pace {
    /// Long enough that a chunk's fixed costs do not count, short enough that a dragged slider
    /// is followed.
    pub const TARGET_MS: f64 = 20.0;
    const LARGEST: u32 = 262_144;

    /// A pace that begins with chunks of `smallest` trajectories and never asks for fewer. Where
    /// the fixed cost of a chunk alone exceeds the target, as it can on a GPU, ever smaller chunks
    /// would come no nearer to it and only cost more of them.
    pub const fn new(smallest: u32) -> Self {
        Pace {
            chunk: smallest,
            smallest,
        }
    }

    /// The size of the next chunk when `left` trajectories are left. A rest of less than half a
    /// chunk is taken along.
    pub fn chunk(&self, left: u32) -> u32 {
        if left < self.chunk + self.chunk / 2 {
            left
        } else {
            self.chunk
        }
    }

    /// Learns from a chunk of `drawn` trajectories that took `ms`. One measurement at most
    /// doubles or halves the pace: the first ones hold compilation, and clocks in browsers are
    /// coarse.
    pub fn learn(&mut self, drawn: u32, ms: f64) {
        let ideal = f64::from(drawn) * Self::TARGET_MS / ms.max(0.01);
        let chunk = f64::from(self.chunk);
        // A chunk smaller than asked for says nothing about a larger one.
        let largest = if drawn < self.chunk {
            chunk
        } else {
            2.0 * chunk
        };
        let next = ideal.clamp(0.5 * chunk, largest) as u32;
        self.chunk = next.clamp(self.smallest, Self::LARGEST);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gflownet_tour_core::message::DeviceChoice;

    fn request(demo: u32, id: u32) -> SampleRequest {
        SampleRequest {
            demo,
            id,
            model: "easy_correct".into(),
            snapshot: None,
            beta: None,
            sigma_scale: 1.0,
            seed: 1,
            count: 10_000,
            device: DeviceChoice::Auto,
            paths: 10,
            range: (-3.0, 3.0),
            bins: 10,
            cells: 10,
        }
    }

    fn begun(schedule: &mut Schedule<&'static str>) -> (u32, u32) {
        match schedule.take() {
            Some(Next::Begin(request)) => (request.demo, request.id),
            other => panic!("expected a batch to begin, got {other:?}"),
        }
    }

    #[test]
    fn a_newer_request_of_a_demo_replaces_the_one_that_waits() {
        let mut schedule = Schedule::default();
        schedule.submit(request(1, 1));
        schedule.submit(request(2, 1));
        schedule.submit(request(1, 2));
        schedule.submit(request(1, 3));
        assert_eq!(begun(&mut schedule), (1, 3));
        schedule.finish();
        assert_eq!(begun(&mut schedule), (2, 1));
        schedule.finish();
        assert_eq!(schedule.take(), None);
    }

    #[test]
    fn demos_take_turns_chunk_by_chunk() {
        let mut schedule = Schedule::default();
        schedule.submit(request(1, 1));
        schedule.submit(request(2, 1));
        assert_eq!(begun(&mut schedule), (1, 1));
        schedule.put_back("one");
        assert_eq!(begun(&mut schedule), (2, 1));
        schedule.put_back("two");
        assert_eq!(schedule.take(), Some(Next::Continue("one")));
        schedule.finish();
        assert_eq!(schedule.take(), Some(Next::Continue("two")));
        schedule.finish();
        assert_eq!(schedule.take(), None);
    }

    #[test]
    fn a_batch_is_cut_short_for_a_newer_one_once_it_is_worth_showing() {
        let mut schedule = Schedule::default();
        schedule.submit(request(1, 1));
        assert_eq!(begun(&mut schedule), (1, 1));
        assert!(!schedule.enough(5_000, 10_000));
        assert!(schedule.enough(10_000, 10_000));
        schedule.submit(request(2, 1));
        assert!(!schedule.enough(5_000, 10_000), "another demo's request");
        schedule.submit(request(1, 2));
        assert!(!schedule.enough(WORTH_SHOWING - 1, 10_000));
        assert!(schedule.enough(WORTH_SHOWING, 10_000));
        schedule.finish();
        assert_eq!(begun(&mut schedule), (2, 1));
        schedule.finish();
        assert_eq!(begun(&mut schedule), (1, 2));
    }

    #[test]
    fn a_request_that_comes_while_a_batch_is_put_back_waits_for_its_end() {
        let mut schedule = Schedule::default();
        schedule.submit(request(1, 1));
        assert_eq!(begun(&mut schedule), (1, 1));
        schedule.put_back("one");
        schedule.submit(request(1, 2));
        assert_eq!(schedule.take(), Some(Next::Continue("one")));
        assert!(schedule.enough(WORTH_SHOWING, 10_000));
        schedule.finish();
        assert_eq!(begun(&mut schedule), (1, 2));
    }

    /// The chunk after twenty that took `fixed_ms` and a millisecond for every `per_ms`
    /// trajectories.
    fn settled(mut pace: Pace, fixed_ms: f64, per_ms: f64) -> u32 {
        for _ in 0..20 {
            let drawn = pace.chunk(1_000_000);
            pace.learn(drawn, fixed_ms + f64::from(drawn) / per_ms);
        }
        pace.chunk(1_000_000)
    }

    #[test]
    fn the_pace_finds_the_chunk_that_takes_the_target_time() {
        for per_ms in [300.0, 5_000.0] {
            let expected = per_ms * Pace::TARGET_MS;
            let chunk = f64::from(settled(Pace::new(2_048), 0.0, per_ms));
            assert!((chunk / expected - 1.0).abs() < 0.01, "{chunk}");
        }
    }

    /// On a software GPU a chunk had a fixed cost of some 60 ms. The pace fell to 512
    /// trajectories, and 100,000 of them took 15 s, nearly all of it fixed cost.
    #[test]
    fn a_fixed_cost_above_the_target_does_not_shrink_the_chunks_away() {
        assert_eq!(settled(Pace::new(4_096), 60.0, 50.0), 4_096);
    }

    #[test]
    fn a_small_batch_or_a_clock_that_stands_still_does_not_run_the_pace_away() {
        let mut pace = Pace::new(4_096);
        pace.learn(500, 0.0);
        assert_eq!(pace, Pace::new(4_096));
        for _ in 0..40 {
            pace.learn(u32::MAX, 0.0);
        }
        assert_eq!(pace.chunk(1_000_000), Pace::LARGEST);
    }

    #[test]
    fn a_short_rest_is_taken_along() {
        let pace = Pace::new(1_000);
        assert_eq!(pace.chunk(1_499), 1_499);
        assert_eq!(pace.chunk(1_500), 1_000);
        assert_eq!(pace.chunk(10), 10);
    }
}
