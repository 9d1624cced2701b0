// What the console draws with Apache ECharts; scripts/vendor.py makes one file of it, without the rest.
import { CustomChart, GraphChart, HeatmapChart } from "echarts/charts";
import { GridComponent, TooltipComponent, VisualMapComponent } from "echarts/components";
import { init, use } from "echarts/core";
import { SVGRenderer } from "echarts/renderers";

use([CustomChart, GraphChart, GridComponent, HeatmapChart, SVGRenderer, TooltipComponent, VisualMapComponent]);

export { init };
