//! The places in the article where the page's program puts something live. The article is written
//! with this list and the page reads it back, so that neither can name what the other does not know.

use gflownet_tour_core::experiment::Experiment;
use gflownet_tour_core::message::DeviceChoice;

/// The attribute that marks an island's place, with its name.
pub const ISLAND: &str = "data-island";
/// The attribute that names an island's model.
pub const MODEL: &str = "data-model";

/// What is live on the page.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Island {
    /// The demo of one model.
    Demo(&'static Experiment),
    /// The bug as algebra.
    Algebra,
    /// The flow from both ends.
    Flow,
    /// One walk, term by term.
    Trace,
    /// The curves of the trainings.
    History,
    /// The model of every temperature.
    Tempered,
    /// A question before the answer.
    Predict,
    /// The laboratory.
    Laboratory,
}

/// Every island but the demos, of which there is one for each model.
pub const OTHERS: [Island; 7] = [
    Island::Algebra,
    Island::Flow,
    Island::Trace,
    Island::History,
    Island::Tempered,
    Island::Predict,
    Island::Laboratory,
];

impl Island {
    /// The value of [`ISLAND`].
    pub fn name(self) -> &'static str {
        match self {
            Island::Demo(_) => "demo",
            Island::Algebra => "algebra",
            Island::Flow => "flow",
            Island::Trace => "trace",
            Island::History => "history",
            Island::Tempered => "tempered",
            Island::Predict => "predict",
            Island::Laboratory => "laboratory",
        }
    }

    /// The value of [`MODEL`], where an island has one.
    pub fn model(self) -> Option<&'static str> {
        match self {
            Island::Demo(experiment) => Some(experiment.name),
            _ => None,
        }
    }

    /// The heading of a part that a reader opens; none of other islands.
    pub fn title(self) -> &'static str {
        match self {
            Island::Algebra => {
                "The bug as algebra: three loops, three models, and what each loss asked for"
            }
            Island::Flow => "The flow itself: F(x, t) from both ends, and where they disagree",
            Island::Trace => {
                "One walk, every term: the formula with its numbers, and which way the gradient \
                 pushes"
            }
            _ => "",
        }
    }

    /// Reads what an article has written.
    ///
    /// # Errors
    /// When there is no such island, or it is a demo of no model.
    pub fn read(name: &str, model: Option<&str>) -> Result<Island, String> {
        if name == "demo" {
            let model = model.unwrap_or_default();
            return Experiment::named(model)
                .map(Island::Demo)
                .ok_or_else(|| format!("there is no model `{model}`"));
        }
        let island = OTHERS.into_iter().find(|island| island.name() == name);
        island.ok_or_else(|| format!("the page has no part `{name}`"))
    }
}

/// What a reader can have trajectories drawn by, with a name for scripts and one for readers.
pub const DEVICES: [(DeviceChoice, &str, &str); 4] = [
    (DeviceChoice::Auto, "auto", "Auto"),
    (DeviceChoice::WebGpu, "webgpu", "WebGPU"),
    (DeviceChoice::Cpu, "cpu", "CPU, network"),
    (DeviceChoice::CpuTable, "table", "CPU, table"),
];

/// Trajectories of a batch of the model of every temperature.
pub const TEMPERED_COUNT: u32 = 10_000;
/// The step of its slider, in powers of two.
pub const BETA_STEP: f64 = 0.05;

#[cfg(test)]
mod tests {
    use super::*;
    use gflownet_tour_core::experiment;

    #[test]
    fn what_is_written_is_read_and_nothing_else() {
        for island in OTHERS
            .into_iter()
            .chain(experiment::all().map(Island::Demo))
        {
            assert_eq!(Island::read(island.name(), island.model()), Ok(island));
        }
        for (name, model, why) in [
            ("demo", Some("nine_mode"), "`nine_mode`"),
            ("demo", None, "no model"),
            ("graph", None, "`graph`"),
        ] {
            assert!(Island::read(name, model).is_err_and(|error| error.contains(why)));
        }
    }
}
