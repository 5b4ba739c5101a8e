//! How far a training run is, as one value that is sent, kept and gone on from.

use crate::layout::Layout;
use crate::policy::Policy;
use crate::weights::manifest::Recipe;
use serde::{Deserialize, Serialize};

/// How far a run is: from it another trainer of the same recipe and seed goes on with the same
/// steps, except that an archive of terminal states begins anew.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Finished iterations.
    pub iteration: u32,
    /// log Z and its moments, then parameters and moments of every network, as they lie in memory.
    numbers: Vec<f32>,
}

impl Checkpoint {
    /// A checkpoint from its numbers, in the order of [`Checkpoint::numbers`].
    pub fn new(iteration: u32, numbers: Vec<f32>) -> Checkpoint {
        Checkpoint { iteration, numbers }
    }

    /// log Z and its moments, then parameters, first and second moments of every network. Each is
    /// laid out as a [`Layout`] says.
    pub fn numbers(&self) -> &[f32] {
        &self.numbers
    }

    /// The forward and the backward policy and log Z of a run of `recipe`; none for a checkpoint of
    /// networks of other sizes.
    pub fn model(&self, recipe: &Recipe) -> Option<([Policy<f32>; 2], f32)> {
        let (inputs, std_range) = (recipe.options.inputs, recipe.options.std_range);
        let layout = Layout::new(inputs, recipe.hidden);
        let log_z = *self.numbers.first()?;
        let policy = |side: usize| {
            let buffer = self.numbers.get(3 + 3 * side * layout.len()..)?;
            let parameters = layout.places().map(|place| buffer.get(place).copied());
            let policy =
                Policy::with_inputs(inputs, recipe.hidden, parameters.collect::<Option<_>>()?)?;
            Some(policy.with_std_range(std_range))
        };
        let networks = 2 + usize::from(recipe.options.objective.learns_flow());
        let is_whole = self.numbers.len() == 3 + 3 * networks * layout.len();
        let policies = is_whole.then(|| Some([policy(0)?, policy(1)?]))??;
        Some((policies, log_z))
    }

    /// The network of log F of a run of `recipe`; none where its objective learns none, or for a
    /// checkpoint of networks of other sizes.
    pub fn flow(&self, recipe: &Recipe) -> Option<Policy<f32>> {
        self.model(recipe)?;
        let inputs = recipe.options.inputs;
        let layout = Layout::new(inputs, recipe.hidden);
        let buffer = self.numbers.get(3 + 6 * layout.len()..)?;
        let parameters = layout.places().map(|place| buffer.get(place).copied());
        Policy::with_inputs(inputs, recipe.hidden, parameters.collect::<Option<_>>()?)
    }

    /// The beginning of a run of `recipe` from these policies, the network of log F where the
    /// recipe's objective learns one, and log Z; none where the recipe's networks are others.
    pub fn beginning(
        recipe: &Recipe,
        policies: [&Policy<f32>; 2],
        flow: Option<&Policy<f32>>,
        log_z: f32,
    ) -> Option<Checkpoint> {
        let layout = Layout::new(recipe.options.inputs, recipe.hidden);
        let has_size = |policy: &Policy<f32>| {
            (policy.inputs(), policy.hidden()) == (layout.inputs, layout.hidden)
        };
        let fits = |policy: &Policy<f32>| {
            has_size(policy) && policy.std_range() == recipe.options.std_range
        };
        let flow = flow.filter(|_| recipe.options.objective.learns_flow());
        if !policies.into_iter().all(fits)
            || flow.is_some() != recipe.options.objective.learns_flow()
            || !flow.is_none_or(has_size)
        {
            return None;
        }
        let mut numbers = vec![log_z, 0.0, 0.0];
        for policy in policies.into_iter().chain(flow) {
            let begin = numbers.len();
            numbers.resize(begin + 3 * layout.len(), 0.0);
            for (place, &parameter) in layout.places().zip(policy.parameters()) {
                numbers[begin + place] = parameter;
            }
        }
        Some(Checkpoint::new(0, numbers))
    }

    /// Whether every number of it is finite.
    pub fn is_finite(&self) -> bool {
        self.numbers.iter().all(|number| number.is_finite())
    }
}
