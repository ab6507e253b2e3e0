"""Forecasts of arrivals: profiles of week and day, the level of now, and what errors teach.

    minutes ──► level ─────┐
           └──► profiles ──┴──► signs ──► regression ──► expected
                                              ▲              │
                                errors ◄── what came ◄───────┘

`forecaster.ArrivalForecaster` is told every minute and asked for the next ones. Needs numpy (the
extra `forecast`), so nothing a worker or a scaler imports may import this.
"""
