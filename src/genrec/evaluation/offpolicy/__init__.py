"""The value of a policy that was never served, from what was shown under another one: off-policy evaluation.

A log tells what users did with the lists they were shown, not what they would have done with others. Where the logging
policy drew its lists at random, with probabilities that it wrote down (propensities), clicks weighted by how much more
often the new policy would have shown the same have the new policy's value as their mean. A log without exploration
(every list shown with probability 1) can judge nothing but itself.

`rounds` holds what was logged, as importance weights; `estimators` (see `base`) give values, with a bootstrap over
users; `support` says when the weights cannot be trusted; `reward_model` is what doubly robust estimation starts from;
`judge` makes a result of them. `evaluate` feeds it from a workspace (`exposures`, `policies`). Lists are drawn by
`genrec.reranking.exploration`; estimators are checked on the Open Bandit logs by `eval/bench_open_bandit.py`.
"""
