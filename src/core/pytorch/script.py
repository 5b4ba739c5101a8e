#: the settings come here


def log_normal(x, mean, std):
    """Log-density of a normal distribution with standard deviation std, in nats."""
    return -0.5 * ((x - mean) / std) ** 2 - torch.log(std) - 0.5 * math.log(2 * math.pi)


def log_reward(x):
    """log R(x), in nats: R is the weighted sum of the modes, its integral their weights' sum."""
    return torch.logsumexp(torch.log(WEIGHTS) + log_normal(x[:, None], MEANS, STDS), dim=1)


#: if features
def features(x):
    """What the first layers read of x: [count] to [count, 14]."""
    columns = [0.6 * x, 0.03 * x * x]
    for k in (0.25, 0.5, 1.0, 1.5, 2.0, 3.0):
        columns += [3 * torch.sin(k * x), 3 * torch.cos(k * x)]
    return torch.stack(columns, dim=1)


#: end
class Policy(torch.nn.Module):
    """The law of an action in state (x, t): its mean and standard deviation."""

    def __init__(self):
        super().__init__()
#: if features
        bound = 1 / math.sqrt(14)
        uniform = lambda *shape: torch.empty(shape).uniform_(-bound, bound)
        self.weight = torch.nn.Parameter(uniform(STEPS, HIDDEN, 14))
        self.bias = torch.nn.Parameter(uniform(STEPS, HIDDEN))
#: end
#: if raw
        self.first = torch.nn.Linear(2, HIDDEN)
#: end
        self.second = torch.nn.Linear(HIDDEN, HIDDEN)
        self.last = torch.nn.Linear(HIDDEN, 2)
#: if features
        with torch.no_grad():
            self.last.weight *= 0.1
            self.last.bias.copy_(torch.tensor([0.0, 0.13]))
#: end

    def forward(self, x, t):
#: if features
        layer = t % STEPS
        first = features(x) @ self.weight[layer].T + self.bias[layer]
#: end
#: if raw
        first = self.first(torch.stack([x, torch.full_like(x, t)], dim=1))
#: end
        elu = torch.nn.functional.elu
        mean, raw = self.last(elu(self.second(elu(first)))).unbind(dim=1)
        return mean, MIN_STD + (MAX_STD - MIN_STD) * torch.sigmoid(raw)


forward_policy = Policy()
#: if learned_backward
backward_policy = Policy()
#: end
#: if learned_flow
flow = Policy()  # its mean output is log F(x, t)
#: end
#: if learned_log_z
log_z = torch.nn.Parameter(torch.zeros(()))
#: end


def backward_law(x, t):
    """Mean and standard deviation of the action x_t - x_(t-1) that led to x at t >= 1."""
#: if net
    return backward_policy(x, t)
#: end
#: if bridge
    mean, std = backward_policy(x, t)
    return (x - START) / t + mean, std
#: end
#: if fixed_bridge
    std = max(BRIDGE_STD * math.sqrt(1 - 1 / t), 0.1)
    return (x - START) / t, torch.full_like(x, std)
#: end


@torch.no_grad()
def draw(count, extra_std=0.0):
    """Trajectories of the forward policy, [STEPS + 1, count], with extra_std added to its own."""
    states = [torch.full((count,), START)]
    for t in range(STEPS):
        mean, std = forward_policy(states[-1], t)
        states.append(states[-1] + mean + (std + extra_std) * torch.randn(count))
    return torch.stack(states)


#: if replay
@torch.no_grad()
def draw_back(terminals):
    """Trajectories of the backward policy from these terminal states, [STEPS + 1, count]."""
    states = [terminals]
    for t in range(STEPS, 1, -1):
        mean, std = backward_law(states[0], t)
        states.insert(0, states[0] - mean - std * torch.randn(len(terminals)))
    return torch.stack([torch.full_like(terminals, START)] + states)


class Archive:
    """Terminal states by place: cells of a tenth, from -30 to 30, each with its latest state."""

    def __init__(self):
        self.states = torch.arange(-299.5, 300.0) / 10
#: if archive
        self.log_rewards = torch.full((600,), -math.inf)
#: end
#: if tempered
        self.log_rewards = log_reward(self.states)
#: end

#: if archive
    def add(self, x):
        log_rewards = log_reward(x)
        kept = (x >= -30) & (x < 30) & torch.isfinite(log_rewards)
        cells = ((x[kept] + 30) * 10).long()
        self.states[cells] = x[kept]
        self.log_rewards[cells] = log_rewards[kept]

#: end
    def draw(self, count):
#: if by_rank
        used = torch.isfinite(self.log_rewards)
        ranks = torch.empty(600)
        ranks[torch.argsort(self.log_rewards, descending=True)] = torch.arange(600.0)
        weights = torch.where(used, 1 / (used.sum() / 100 + ranks), 0.0)
#: end
#: if by_reward
        weights = torch.exp(REPLAY_POWER * (self.log_rewards - self.log_rewards.max()))
#: end
        return self.states[torch.multinomial(weights, count, replacement=True)]


archive = Archive()


#: end
def terms(states):
    """log P_F and log P_B of every step of the trajectories, each [STEPS, count].

#: if correct
    The step into x_0 is forced: its backward probability is 1.
#: end
#: if counts_forced
    The loop starts at t = 1 and scores the forced step into x_0 as if it were free: the bug.
#: end
#: if drops_real
    The loop starts at t = 3 and leaves out the free step from x_2 to x_1: a bug.
#: end
    """
    log_forward, log_backward = [], []
    for t in range(STEPS):
        action = states[t + 1] - states[t]
        log_forward.append(log_normal(action, *forward_policy(states[t], t)))
        if t + 1 >= FIRST_COUNTED:
            log_backward.append(log_normal(action, *backward_law(states[t + 1], t + 1)))
        else:
            log_backward.append(torch.zeros_like(action))
    return torch.stack(log_forward), torch.stack(log_backward)


def loss_of(states):
    """The loss of a batch, and its estimate of log Z."""
    log_forward, log_backward = terms(states)
#: if whole
    residual = log_forward.sum(0) - log_backward.sum(0) - log_reward(states[-1])
#: end
#: if trajectory_balance
    return ((log_z + residual) ** 2).mean(), log_z.item()
#: end
#: if log_variance
    return residual.var(unbiased=False), -residual.mean().item()
#: end
#: if reverse_kl
    # The score function for P_F, with the others' mean as baseline, and the derivative for P_B.
    count = residual.numel()
    score = (residual - residual.mean()).detach() * count / max(count - 1, 1)
    surrogate = (score * log_forward.sum(0) - log_backward.sum(0)).mean()
    value = residual.mean().detach()
    return surrogate - surrogate.detach() + value, -value.item()
#: end
#: if learned_flow
    log_flow = [log_z.expand(states.shape[1])]
    log_flow += [flow(states[t], t)[0] for t in range(1, STEPS)]
    log_flow += [log_reward(states[-1])]
    # A perfect model has the same a_t at every t.
    ratios = torch.cumsum(log_forward - log_backward, dim=0)
    a = torch.stack(log_flow) - torch.cat([torch.zeros_like(ratios[:1]), ratios])
    total, weights = 0.0, 0.0
    for n in range(1, STEPS + 1):
        for m in range(n):
            weight = PAIR_WEIGHT ** (n - m - 1)
            total = total + weight * (a[m] - a[n]) ** 2
            weights += weight
    return (total / weights).mean(), log_z.item()
#: end


def extra_std(iteration):
    """What exploration adds to the sampling standard deviation."""
#: if on_policy
    return 0.0
#: end
#: if constant_noise
    return EXPLORE_STD
#: end
#: if line
    until = EXPLORE_FRACTION * (ITERATIONS - 1)
    progress = min(iteration / until, 1.0) if until > 0 else 1.0
    return EXPLORE_FROM + (EXPLORE_TO - EXPLORE_FROM) * progress
#: end


def rate_factor(iteration):
    """What the learning rates are multiplied by."""
#: if constant_rates
    return 1.0
#: end
#: if cosine
    line = min((iteration + 1) / max(WARM_UP, 1), 1.0)
    wave = 0.5 * (1 + math.cos(math.pi * min(iteration / max(ITERATIONS - 1, 1), 1.0)))
    return line * (LAST_FACTOR + (1 - LAST_FACTOR) * wave)
#: end


def train():
    networks = list(forward_policy.parameters())
#: if learned_backward
    networks += backward_policy.parameters()
#: end
    groups = [{"params": networks, "base": LEARNING_RATE}]
#: if learned_flow
    groups.append({"params": flow.parameters(), "base": FLOW_RATE * LEARNING_RATE})
#: end
#: if learned_log_z
    groups.append({"params": [log_z], "base": LOG_Z_LEARNING_RATE})
#: end
    optimizer = torch.optim.Adam(groups, lr=LEARNING_RATE, betas=(0.9, ADAM_BETA_2), eps=1e-8)
    for iteration in range(ITERATIONS):
        for group in optimizer.param_groups:
            group["lr"] = group["base"] * rate_factor(iteration)
#: if no_replay
        states = draw(BATCH, extra_std(iteration))
#: end
#: if replay
        rows = REPLAY_ROWS if iteration >= REPLAY_FROM else 0
        states = draw(BATCH - rows, extra_std(iteration))
        if rows > 0:
            states = torch.cat([states, draw_back(archive.draw(rows))], dim=1)
#: end
#: if archive
        archive.add(states[-1])
#: end
        loss, estimate = loss_of(states)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if (iteration + 1) % max(ITERATIONS // 10, 1) == 0:
            print(f"iteration {iteration + 1}: loss {loss.item():.4f}, log Z {estimate:.4f}")


@torch.no_grad()
def terminal_density(cells=2001):
    """A grid, and on it the density of x_N under the forward policy, by quadrature."""
    reach = 6 * STDS
    low = min((MEANS - reach).min().item(), START) - 3
    high = max((MEANS + reach).max().item(), START) + 3
    x = torch.linspace(low, high, cells)
    width = (high - low) / (cells - 1)
    mean, std = forward_policy(torch.tensor([START]), 0)
    density = torch.exp(log_normal(x, START + mean, std))
    for t in range(1, STEPS):
        mean, std = forward_policy(x, t)
        step = torch.exp(log_normal(x[:, None], x + mean, std))
        density = step @ density * width
    return x, density, width


def report():
    x, density, width = terminal_density()
    target = torch.exp(log_reward(x)) / WEIGHTS.sum()
    distance = 0.5 * (density - target).abs().sum().item() * width
    print(f"total variation to R / Z: {distance:.4f}")
    print(f"log Z of the target: {WEIGHTS.sum().log().item():.4f}")


if __name__ == "__main__":
    train()
    report()
