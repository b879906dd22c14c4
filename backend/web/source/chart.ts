// Candles and volume of one market, by lightweight-charts. Loaded only where a chart is shown.
// Prices become numbers here and nowhere else: for the eye, never for an amount.

import {
  CandlestickSeries,
  ColorType,
  HistogramSeries,
  type IChartApi,
  type UTCTimestamp,
  createChart,
} from "lightweight-charts";

export interface Candle {
  start: string;
  open: string;
  high: string;
  low: string;
  close: string;
  tonnes: string;
}

export interface Chart {
  show(candles: Candle[]): void;
}

function colour(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

/** A chart that fills `place` and follows its width and the reader's colours. */
export function draw(place: HTMLElement, decimals: number, language: string): Chart {
  const scale = 10 ** decimals;
  const chart: IChartApi = createChart(place, {
    autoSize: true,
    localization: { locale: language },
    layout: {
      attributionLogo: false,
      background: { type: ColorType.Solid, color: "transparent" },
    },
    rightPriceScale: { borderVisible: false },
    timeScale: { borderVisible: false, timeVisible: true, secondsVisible: false },
  });
  const candles = chart.addSeries(CandlestickSeries, {
    priceFormat: { type: "price", precision: 2, minMove: 0.01 },
  });
  const volume = chart.addSeries(HistogramSeries, {
    priceFormat: { type: "volume" },
    priceScaleId: "",
    // Its label would lie on those of the prices.
    lastValueVisible: false,
    priceLineVisible: false,
  });
  volume.priceScale().applyOptions({ scaleMargins: { top: 0.8, bottom: 0 } });
  const dress = (): void => {
    chart.applyOptions({
      layout: { textColor: colour("--soft") },
      grid: { vertLines: { visible: false }, horzLines: { color: colour("--line") } },
    });
    const up = colour("--up");
    const down = colour("--down");
    candles.applyOptions({
      upColor: up,
      downColor: down,
      wickUpColor: up,
      wickDownColor: down,
      borderVisible: false,
    });
    volume.applyOptions({ color: colour("--edge") });
  };
  dress();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", dress);
  return {
    show(found) {
      const ordered = [...found].sort((one, two) => Number(one.start) - Number(two.start));
      candles.setData(
        ordered.map((one) => ({
          time: Number(one.start) as UTCTimestamp,
          open: Number(one.open) / scale,
          high: Number(one.high) / scale,
          low: Number(one.low) / scale,
          close: Number(one.close) / scale,
        })),
      );
      volume.setData(
        ordered.map((one) => ({
          time: Number(one.start) as UTCTimestamp,
          value: Number(one.tonnes),
        })),
      );
      chart.timeScale().fitContent();
    },
  };
}
