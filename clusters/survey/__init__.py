"""Everything that the readiness check looks at, gathered concurrently. Changes nothing."""

from clusters.survey.surveying import survey, survey_cluster

__all__ = ["survey", "survey_cluster"]
