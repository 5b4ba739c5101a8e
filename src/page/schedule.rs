//! Which sampling requests of a demo go to the engine, and when.

use std::collections::VecDeque;

/// Requests of one demo that the engine may hold at a time: the one that runs and the one that
/// cuts it short.
const IN_FLIGHT: usize = 2;

/// The requests of one demo. A drag asks far more often than the engine can answer, so newer
/// requests replace older ones that wait here; and the engine always knows of a request newer
/// than the one it runs, so that a long batch gives way.
#[derive(Clone, Debug)]
pub struct Schedule<R> {
    next_id: u32,
    in_flight: VecDeque<(u32, R)>,
    waiting: Option<R>,
}

impl<R> Default for Schedule<R> {
    fn default() -> Self {
        Schedule {
            next_id: 1,
            in_flight: VecDeque::new(),
            waiting: None,
        }
    }
}

impl<R: Clone> Schedule<R> {
    /// Takes a request and returns what to send now, with its id, if anything.
    pub fn ask(&mut self, request: R) -> Option<(u32, R)> {
        self.waiting = Some(request);
        self.next()
    }

    /// Notes the answer to request `id`, which also settles all older ones (the engine drops
    /// requests that a newer one replaced), and returns what to send now, if anything.
    pub fn answered(&mut self, id: u32) -> Option<(u32, R)> {
        self.in_flight.retain(|(asked, _)| *asked > id);
        self.next()
    }

    /// Forgets what the engine held, because the engine is new, and returns the newest request to
    /// send to it, if any was without an answer.
    pub fn restart(&mut self) -> Option<(u32, R)> {
        let lost = self.in_flight.drain(..).next_back();
        if self.waiting.is_none() {
            self.waiting = lost.map(|(_, request)| request);
        }
        self.next()
    }

    /// Whether a request is without an answer.
    pub fn is_busy(&self) -> bool {
        !self.in_flight.is_empty()
    }

    fn next(&mut self) -> Option<(u32, R)> {
        if self.in_flight.len() >= IN_FLIGHT {
            return None;
        }
        let request = self.waiting.take()?;
        let id = self.next_id;
        self.next_id = self.next_id.wrapping_add(1);
        self.in_flight.push_back((id, request.clone()));
        Some((id, request))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_request_waits_and_the_others_vanish() {
        let mut schedule = Schedule::default();
        assert_eq!(schedule.ask("a"), Some((1, "a")));
        assert_eq!(schedule.ask("b"), Some((2, "b")));
        for request in ["c", "d", "e"] {
            assert_eq!(schedule.ask(request), None);
        }
        assert_eq!(schedule.answered(1), Some((3, "e")));
        assert_eq!(schedule.answered(2), None);
        assert!(schedule.is_busy());
        assert_eq!(schedule.answered(3), None);
        assert!(!schedule.is_busy());
    }

    #[test]
    fn an_answer_settles_the_requests_that_were_dropped_before_it() {
        let mut schedule = Schedule::default();
        schedule.ask("a");
        schedule.ask("b");
        schedule.ask("c");
        assert_eq!(schedule.answered(2), Some((3, "c")));
        assert_eq!(schedule.ask("d"), Some((4, "d")));
    }

    #[test]
    fn a_late_answer_changes_nothing() {
        let mut schedule = Schedule::default();
        schedule.ask("a");
        schedule.answered(1);
        schedule.ask("b");
        assert_eq!(schedule.answered(1), None);
        assert!(schedule.is_busy());
    }

    #[test]
    fn a_new_engine_is_asked_for_the_newest_request_only() {
        let mut schedule = Schedule::default();
        schedule.ask("a");
        schedule.ask("b");
        schedule.ask("c");
        assert_eq!(schedule.restart(), Some((3, "c")));
        assert_eq!(schedule.restart(), Some((4, "c")));
        schedule.answered(4);
        assert_eq!(schedule.restart(), None);
    }
}
