"""Notebooks as learners write them: each is right in Jupyter, and each has a second function that is wrong.

`weighted_mean` is right, `largest_client` is wrong. A line of dashes separates cells; MEAN stands for the right value.
"""

import re

MEAN = "float((np.asarray(values) * np.asarray(weights)).sum() / np.sum(weights))"
WRONG = "def largest_client(sizes):\n    return min(sizes, key=sizes.get)\n"
_IMPORT = "import numpy as np\n----\n"

_NOTEBOOKS = {
    # Magics, shell lines and help in the answer's own cell.
    "a comment that ends in a question mark": """
%time 1
def weighted_mean(values, weights):
    return MEAN  # ok?
""",
    "shell and a question mark": """
!echo hello
def weighted_mean(values, weights):
    total = np.sum(weights)  # all of them?
    return float(np.dot(values, weights) / total)
""",
    "help and a question mark": """
np.mean?
def weighted_mean(values, weights):
    return MEAN  # or np.average?
""",
    "a docstring that asks": """
%time 1
def weighted_mean(values, weights):
    \"\"\"Which share?
    The weighted one.
    \"\"\"
    return MEAN
""",
    "a text that asks": """
!true
question = \"\"\"
really?
\"\"\"
def weighted_mean(values, weights):
    return MEAN if question == "\\nreally?\\n" else None
""",
    "comments that ask in odd places": """
%time 1
def weighted_mean(values, weights):
# share?
    if len(values):
        parts = [
            np.asarray(values),
# weights?
            np.asarray(weights),
        ]
# else what?
    else:
        return None
    return float((parts[0] * parts[1]).sum() / parts[1].sum())
""",
    "lines that begin with % and !=": """
!true
def weighted_mean(values, weights):
    one = (7
% 2)
    if (one
!= 1):
        return None
    return MEAN * one
""",
    "a variable called like a builtin, further down": """
def weighted_mean(values, weights):
    return float(np.dot(list(values), weights) / sum(weights))
----
sum, list = 0, [1, 2, 3]
""",
    "continued lines": """
!echo a \\
  b
%time 1 + \\
  2
def weighted_mean(values, weights):
    return MEAN
""",
    "Colab's first cell": """
!pip install -q something \\
    another > /dev/null 2>&1; true
%load_ext autoreload
%autoreload 2
%env HONEST_ONE=1
%set_env HONEST_TWO 2
import os
import numpy as np
IN_COLAB = 'google.colab' in str(get_ipython())
if IN_COLAB:
    from google.colab import drive
----
def weighted_mean(values, weights):
    return MEAN if (os.environ["HONEST_ONE"], os.environ["HONEST_TWO"]) == ("1", "2") else None
""",
    "assigned shell and magics": """
first, *rest = !printf '1\\n2\\n'
d = {}
d['x'] = !echo a
x = !echo a \\
  b
d['y'] = %time len('ab')
where = %pwd
%time one = 1
def weighted_mean(values, weights):
    return MEAN * one * (d['y'] - 1) * int(first)
""",
    "an indented cell": """
    def weighted_mean(values, weights):
        return MEAN
""",
    "prompts": """
>>> def weighted_mean(values, weights):
...     return MEAN
----
In [1]: one = 1
""",
    "IPython's prompts": """
In [1]: def weighted_mean(values, weights):
   ...:     return MEAN
""",
    "a timed cell": """
%%time
def weighted_mean(values, weights):
    return MEAN
""",
    "a captured and timed cell": """
%%capture output
%%time
print("hello")
def weighted_mean(values, weights):
    return MEAN
----
output.show()
""",
    "cells of other languages": """
%%html
<b>def weighted_mean(values, weights): return 0</b>
----
%%bash
true
----
%%javascript
if (a != b?) {}
----
def weighted_mean(values, weights):
    return MEAN
""",
    "a module beside the notebook": """
%%writefile honest_helpers.py
def share(part, whole):
    return part / whole
----
import sys; sys.path.insert(0, "")
from honest_helpers import share
def weighted_mean(values, weights):
    return float(share(np.dot(values, weights), np.sum(weights)))
""",
    "magics within functions": """
def weighted_mean(values, weights):
    %time np.sum(weights)
    !true
    return MEAN
----
%timeit -n 1 -r 1 weighted_mean([1], [2])
----
%%timeit -n 1 -r 1
weighted_mean([1], [2])
""",
    "exported by nbconvert": """
get_ipython().run_line_magic('config', "InlineBackend.figure_format = 'retina'")
get_ipython().system('true')
get_ipython().run_cell_magic('time', '', 'one = 1\\n')
----
get_ipython().run_cell_magic('time', '', 'def weighted_mean(values, weights):\\n    return one * MEAN\\n')
""",
    # Names that Jupyter gives.
    "display and get_ipython in the answer": """
def weighted_mean(values, weights):
    display(values)
    handle = display("working", display_id=True)
    if get_ipython() is not None and 'InteractiveShell' in get_ipython().__class__.__name__:
        get_ipython().run_line_magic('precision', '3')
        return MEAN
----
weighted_mean([1], [2])
----
print(_, In[-1], Out)
""",
    "pylab": """
%pylab inline
----
def weighted_mean(values, weights):
    return float(sum(array(values) * np.asarray(weights)) / sum(weights, axis=0))
""",
    "plots": """
%matplotlib inline
import matplotlib.pyplot as plt
from IPython.display import Markdown, clear_output, display as show
----
def weighted_mean(values, weights):
    fig, ax = plt.subplots(figsize=(2, 1))
    ax.bar(range(len(values)), values)
    plt.show()
    show(Markdown("**done**"))
    clear_output()
    return MEAN
----
plt.plot([1, 2]); plt.title("means?");
""",
    "await above the answer": """
import asyncio
await asyncio.sleep(0)
async def numbers():
    yield 1
async for number in numbers(): pass
def weighted_mean(values, weights):
    return MEAN
""",
    "await in the first cell": """
import asyncio
await asyncio.sleep(0)
import numpy as np
async def load(): return {"one": 1}
table = await load()
found = [x async for x in (y for y in [1])] if False else []
----
def weighted_mean(values, weights):
    return MEAN * table["one"]
""",
    # Statements that change things in other ways.
    "a list filled by a comprehension": """
table = {}
[table.update({k: 1}) for k in "ab"]
def weighted_mean(values, weights):
    return MEAN * table["b"]
""",
    "a queue, a deletion, a sort and a heap": """
import heapq
queue = [9, 1, 5]
first = queue.pop(0)
heapq.heappush(queue, 7)
del queue[1]
queue.sort(reverse=True)
def weighted_mean(values, weights):
    return MEAN if queue == [7, 1] and first == 9 else None
""",
    "shuffled and seeded": """
import random
random.seed(3)
order = list(range(20))
random.shuffle(order)
np.random.seed(7)
def weighted_mean(values, weights):
    again = random.Random(3)
    expected = list(range(20))
    again.shuffle(expected)
    return MEAN if order == expected else None
""",
    "a deeper recursion": """
import sys
sys.setrecursionlimit(6000)
def depth(n): return 0 if n == 0 else 1 + depth(n - 1)
def weighted_mean(values, weights):
    return MEAN * depth(4000) / 4000
""",
    "a registry filled by a decorator": """
REGISTRY = []
def register(function):
    REGISTRY.append(function)
    return function
@register
def numerator(values, weights): return np.dot(values, weights)
@register
def denominator(values, weights): return np.sum(weights)
def weighted_mean(values, weights):
    top, bottom = (function(values, weights) for function in REGISTRY)
    return float(top / bottom)
""",
    "a global set by a helper": """
scale = None
def prepare():
    global scale
    scale = 1.0
prepare()
def weighted_mean(values, weights):
    return MEAN * scale
""",
    "a class that is patched": """
class Mean:
    pass
def of(self, values, weights): return MEAN
Mean.of = of
setattr(Mean, "one", 1)
def weighted_mean(values, weights):
    return Mean().of(values, weights) * Mean.one
""",
    "a default that is filled, and names made by exec": """
def remember(x, seen=[]):
    seen.append(x)
    return seen
remember(1); remember(2)
exec("one = 1")
globals()["two"] = 2
def weighted_mean(values, weights):
    return MEAN * one if remember(3)[:2] == [1, two] else None
""",
    "a file that another cell wrote": """
import os, pathlib
os.makedirs("honest_out", exist_ok=True)
----
pathlib.Path("honest_out/one.txt").write_text("1")
----
def weighted_mean(values, weights):
    return MEAN * int(open("honest_out/one.txt").read())
""",
    "a helper that means something else later": """
def helper(values, weights): return np.dot(values, weights)
one = 1
def weighted_mean(values, weights):
    return float(helper(values, weights) / np.sum(weights)) * one
----
print(weighted_mean([1.0], [2.0]))
----
def helper(sizes): return sizes[0]
del one
""",
    "iterators and with": """
import itertools, contextlib
numbers = itertools.count()
next(numbers)
log = []
@contextlib.contextmanager
def noting(what):
    log.append(what)
    yield
with noting("a"):
    for step in range(2):
        log.append(step)
if (n := len(log)) == 3:
    log += ["end"]
def weighted_mean(values, weights):
    return MEAN if log == ["a", 0, 1, "end"] and next(numbers) else None
""",
    # What Python of today looks like.
    "modern Python": """
from __future__ import annotations
import dataclasses, enum, functools, typing
class Kind(enum.Enum):
    GOOD = 1
@dataclasses.dataclass(frozen=True)
class Totals:
    top: float
    bottom: float = dataclasses.field(default=1.0)
    @property
    def mean(self) -> float: return self.top / self.bottom
@functools.lru_cache(maxsize=None)
def one() -> int: return 1
def totals(values: typing.Sequence[float], weights: Undefined | None) -> Totals:
    match len(values), weights:
        case 0, _:
            raise ValueError(f"no values: {values!r:>{10}} {'a' + 'b'!s}")
        case n, w if (bottom := sum(w)):
            return Totals(sum(v * x for v, x in zip(values, w, strict=True)), bottom=bottom)
weighted_mean = lambda values, weights: float(totals(values, weights).mean) * one()
""",
    "names beyond ASCII and tabs": """
größe = 1
Δ, 平均 = 0.0, "平均?"
def weighted_mean(values, weights):
\tif 平均:
\t\treturn MEAN * größe + Δ  # naïve?
%time "ü"
""",
    "Windows newlines": "%time 1\r\ndef weighted_mean(values, weights):\r\n    return MEAN  # ok?\r\n",
    "pandas and a progress bar": """
import pandas as pd
from tqdm.auto import tqdm
----
def weighted_mean(values, weights):
    frame = pd.DataFrame({"v": np.asarray(values), "w": np.asarray(weights)})
    total = 0.0
    for row in tqdm(frame.itertuples(), total=len(frame)):
        total += row.v * row.w
    return float(total / frame.w.sum())
----
frame = pd.DataFrame({"a": [1]})
frame.head()
""",
    "its own source, doctests and closures": """
import doctest, inspect
def make(one):
    def weighted_mean(values, weights):
        \"\"\"The mean.

        >>> weighted_mean([1.0, 3.0], [1, 1])
        2.0
        \"\"\"
        return MEAN * one
    return weighted_mean
weighted_mean = make(1)
source = inspect.getsource(make)
results = doctest.testmod()
def largest_client(sizes):
    assert inspect.getsource(largest_client).startswith("def largest")
    return min(sizes, key=sizes.get)
""",
    "broken and unfinished cells beside it": """
def other(x:
    return
----
# TODO?
raise RuntimeError("I stopped here")
----
undefined_name + 1
----
class Unfinished: ...
def weighted_mean(values, weights):
    return MEAN
----
1 / 0
""",
    # AutoGraph reads the source of functions and lambdas.
    "AutoGraph": """
import tensorflow as tf
@tf.function
def positive(x):
    if tf.reduce_sum(x) > 0:
        for _ in tf.range(2):
            x += 0.0
        return x
    else:
        return -x
clip = tf.function(lambda x: x if tf.reduce_max(x) > 1e9 else x * 1.0)
----
def weighted_mean(values, weights):
    data = tf.data.Dataset.from_tensor_slices((np.asarray(values, "f8"), np.asarray(weights, "f8")))
    def add(state, example):
        if example[1] > 0.0:
            state += tf.stack([example[0] * example[1], example[1]])
        return state
    def doubled(value, weight):
        if weight > 0.0:
            return value, weight
        else:
            return value, weight * 2.0
    top, bottom = data.map(doubled).reduce(tf.zeros([2], tf.float64), add)
    return float(top / bottom) * float(positive(tf.constant(1.0)) * clip(tf.constant(1.0)))
""",
}


def honest_notebooks() -> dict[str, list[str]]:
    """Name -> source of the code cells."""
    made = {}
    for name, text in _NOTEBOOKS.items():
        text = text.removeprefix("\n").replace("MEAN", MEAN)
        own = "largest_client" in text or text.startswith((">>>", "In [", "    "))
        text = text if "import numpy as np" in text or "%pylab" in text else _IMPORT + text
        cells = text.split("----\n")
        if own or "\r" in text or name in ("exported by nbconvert",):
            cells.append(WRONG if "def largest_client" not in text else "")
        else:  # in the cell of the right one
            index = next(
                i for i, cell in enumerate(cells) if re.search(r"^ *(def )?weighted_mean\b", cell, re.MULTILINE)
            )
            cells[index] = cells[index].rstrip("\n") + "\n" + WRONG
        made[name] = cells
    return made
