"""What a segmentor gets wrong, and where: behind ``test --analyse``."""

from .metric import AnalysisMetric

__all__ = ['AnalysisMetric']
