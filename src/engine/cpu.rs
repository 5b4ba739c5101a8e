//! The CPU kernel: whole trajectories, a block of states at a time.

use gflownet_tour_core::noise::Noise;
use gflownet_tour_core::policy::{LANES, Policy};
use gflownet_tour_core::rollout::{Rollout, Trajectories};

/// The CPU twin of the GPU kernel.
#[derive(Clone, Debug)]
pub struct Kernel {
    policy: Policy<f32>,
}

impl Kernel {
    /// A kernel that draws from `policy`.
    pub fn new(policy: &Policy<f32>) -> Kernel {
        Kernel {
            policy: policy.clone(),
        }
    }

    /// Draws `count` trajectories: what [`Rollout::draw`] gives, to rounding.
    pub fn draw(&self, rollout: &Rollout, count: usize) -> Trajectories<f32> {
        let noise = Noise::new(rollout.seed);
        let row = rollout.steps + 1;
        let (scale, extra) = (rollout.sigma_scale as f32, rollout.extra_std as f32);
        let mut states = vec![rollout.start as f32; count * row];
        let mut scratch = Vec::with_capacity(self.policy.hidden());
        // Every trajectory is at S0 before its first step: one law serves them all.
        let start = [rollout.start as f32; LANES];
        let first_law = self.policy.evaluate_block(&start, 0.0, &mut scratch);
        for block in (0..count).step_by(LANES) {
            let mut x = start;
            for step in 0..rollout.steps {
                let (mean, std) = if step == 0 {
                    first_law
                } else {
                    self.policy.evaluate_block(&x, step as f32, &mut scratch)
                };
                let first = rollout.first.wrapping_add(block as u32);
                for l in 0..LANES {
                    let z = noise.normal(first.wrapping_add(l as u32), step as u32);
                    x[l] = x[l] + mean[l] + (std[l] * scale + extra) * z;
                }
                for (l, &x) in x.iter().enumerate().take(count - block) {
                    states[(block + l) * row + step + 1] = x;
                }
            }
        }
        Trajectories {
            steps: rollout.steps,
            states,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gflownet_tour_core::noise::ThreefryRng;

    #[test]
    fn the_kernel_draws_what_the_plain_formula_draws() {
        for (hidden, steps, sigma_scale, extra_std, count, first) in [
            (64, 5, 1.0, 0.0, 100, 0),
            (64, 1, 0.02, 0.0, 1, 7),
            (16, 20, 0.5, 0.3, 13, u32::MAX - 4),
            (64, 8, 5.0, 2.0, 16, 1 << 20),
        ] {
            let policy = Policy::<f64>::init(hidden, &mut ThreefryRng::new(hidden as u64, 0));
            let rollout = Rollout {
                start: 0.25,
                steps,
                sigma_scale,
                extra_std,
                seed: 99,
                first,
            };
            let plain = rollout.draw(&policy, count);
            let fast = Kernel::new(&policy.cast()).draw(&rollout, count);
            assert_eq!(fast.states.len(), plain.states.len());
            for (a, b) in plain.states.iter().zip(&fast.states) {
                assert!((a - f64::from(*b)).abs() < 1e-4 * a.abs().max(1.0));
            }
        }
    }
}
