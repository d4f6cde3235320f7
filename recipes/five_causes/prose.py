"""The report's standing text: the setting, the rules that verdicts follow, and what the run cannot say."""

SETTING = """\
Fang et al. 2022 ask which of five things makes CLIP robust, and answer: the distribution it was trained on; size, language at
training time, language at test time and the contrastive loss contribute little or nothing. This page is their question in
small. Every arm is trained here, {seeds} seeds each, measured by effrob, by one command that wrote this page:
`python -m recipes.five_causes --scale pocket`. Two arms of a contrast differ in one factor alone; where they do not, the
contrast has no verdict.

The *narrow* set holds photographs as the clean test set does. The *web* holds freer photographs (two fifths) and the same
classes in eight styles of its own (thermal images, newsprint, film negatives, stone reliefs, old prints, ribbed glass, paper
collages, marble inlays). No test set shows any of these eight, and the web shows none of the test sets' own: renditions,
sketches and odd poses come in only in the arms that are given a dose of them. Captions name the class and say more: colour and
place of a photograph, style of the rest.
"""

PAPER = {
    "size": "little or nothing (abstract)",
    "distribution": "the main cause (abstract)",
    "training-language": "no more robust with language where the training images are the same (introduction)",
    "test-language": "little or nothing (abstract)",
    "contrastive-loss": "little or nothing (abstract)",
}

BESIDE_THE_PAPER = """\
## Beside the paper
"""

RULES = """\
## How it is judged

Effects are differences of effective robustness, the logit residual above the line, each shift on its class-matched clean axis:
the mean over {shifts}, paired by seed. A headline is the mean of all contrasts that ask its question with nothing else
different, the column *contrasts* says how many and how far they spread. Interval and p-value are of one Student's t: scatter
over {seeds} seeds, which draw pictures, weights and batches, and the line's uncertainty, its {families} families of classifiers
resampled. They do not hold other test pictures, other networks than this tower or other drawn worlds.

The rules were fixed before the runs, but for what is said to be settled later. *Equivalent*: the 90 % interval lies within
±{margin:.2f} logits, a tenth of what the shipped contrastive model `{model}` has on the same line ({reference:+.2f}), and so
do those of the contrasts it is made of. *Lifts it*, *lowers it*: p under {alpha} after Holm's correction, over the five
headlines or over the {singles} contrasts that are no headline by themselves, no two of its contrasts of opposite sign
that are each told from none by their own 95 % interval, and whichever shift is left out, the mean of the others told from
none, to the same side. *Cannot tell*: neither, or an arm lies outside the line's range, or
anything but the factor differs. *At most* is the smallest margin, in logits and either way, within which the effect and its
contrasts would be equivalent. What was settled after a first run: a contrast that is a headline by itself is judged once, as
the headline, and not a second time among the single contrasts; how often pictures go through the tower in a step counts as a
difference; language at test time is asked with CLIP's eighty prompts as with the bare name; captions were given arms with as
many passes as views, written down as the headline of language at training time before any of those arms was trained;
contrasts disagree only where each is told from none (before, any contrast of the other sign was enough); and no verdict may
rest on one shift, which takes away the one that language at test time would have had by the rule before.
Points are a translation: what the effect in logits is worth to a model of {at:.0%} clean accuracy that stood on the lines.
"""

REFERENCE = """\
`{model}` stands at {reference:+.2f} where the arm clip-web stands at {arm:+.2f}. Their webs differ: {shared:.0%} of the
{pictures:,} pictures that `{model}` learned from are renditions ({rendition:.0%}), sketches ({sketch:.0%}) or odd poses
({odd:.0%}), the test sets' own styles, of which clip-web saw none. Given them in all its styled pictures, {styled:.0%} of
its web, clip-web stands at {overlap:+.2f}: the overlap alone could make the difference. `{model}` is no arm; its network, at
{side} pixels, its captions and its training differ too.
"""

LINE = """\
`{name}`: {n} classifiers of narrow pictures in {families} families, those of the shipped `pocket` baseline and the same
networks trained on fewer pictures of each class.
"""

TRAINING = """\
Every arm has the same image tower (three convolutions, 32 pixels) and the same loop: AdamW (rate {rate}, decay {decay}, cosine
with {warmup} steps of warm-up) over batches of {batch}, crops of at least {crop:.0%} of a picture. Text tower, tokeniser and
contrastive loss are open_clip's; another view of a picture takes a text's place in the same loss, which takes each picture
through the tower twice. Where captions are passed twice, two crops of each picture are told by its caption, and the loss is the
mean of both. Pictures are drawn by seed, fewer ones inside more.
"""

TIME = """\
In all {minutes:.0f} minutes of one processor core: the training above, which draws the pictures with the first arms that need
them, {line:.0f} s for the line's classifiers and {evaluation:.0f} s for every evaluation.
"""

LIMITS = """\
## What twenty drawn classes can and cannot say

They can say whether a factor is able to move effective robustness in a world whose architecture, schedule, pictures and texts
are all known, and which way, with everything else held equal.

They cannot say how much any factor matters for CLIP. Pictures are drawn by a program at 32 pixels, sets hold thousands of
pictures where CLIP's held hundreds of millions, and what appears only at scale does not appear here. Size spans three
doublings. The web's own styles are no style of a test set, but they are drawings of the same outlines by the same hand; a web
without any likeness to the test sets cannot be drawn. Twenty classes in a batch of 64 make many pairs that a contrastive loss
calls different although they show the same thing, which may cost captions more than it would among thousands of classes. The
line's classifiers are trained on narrow pictures alone, and below an accuracy of a tenth, near chance, logits bend.

Captions against views is the paper's own comparison in small: there, CLIP beside SimCLR on the same pictures. It compares two
ways of telling a picture, not language with nothing in its place. Both learn from
recoloured pictures, so that a caption can name a colour that its picture no longer shows, and a view cannot be contradicted so;
over crops alone, where captions are true, views are easier to tell by colour than by shape, which is why SimCLR recolours. The
two contrasts stand side by side for that.

Captions that say more than the class take effective robustness away here, and clean accuracy with it. A likely reason: in 800
steps a small tower learns colours, places and styles where class names let it learn shapes. That is a fact of a small world and
short training. It may also be why CLIP on captions, the paper's own case, is not told from none on this web by
itself.

Prompts stand lower than a layer on the web's CLIP, mostly on pocket-sketch, and on the narrow one neither lower nor higher. A
likely reason: the layer learns the classes from the web's styled pictures once more, where a prompt must find them through
captions that tell style, colour and place as well.

Where a row here moves effective robustness and the paper found little, the row is a statement about this world, where the
factor can be isolated; the paper's statement is about photographs at scale. A verdict of `equivalent` or `cannot tell` here is
no evidence about ImageNet either way. Published models are asked in `effrob study`, and
`python -m recipes.five_causes --scale imagenet` prints the runs that would answer at scale.
"""
