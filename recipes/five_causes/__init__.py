"""The five candidate causes of CLIP's robustness, as a grid of trainings: `python -m recipes.five_causes --scale pocket`.

The question and the design are Fang et al. 2022 (arXiv 2205.01397), on the pocket sets that effrob draws.
"""
